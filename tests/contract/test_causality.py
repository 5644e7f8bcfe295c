"""Causal models: editing tokens from t on changes no output before t."""

import pytest
import torch

from tests.contract.models import HEADS, every_variant, random_ids, the_same, token_outputs

HEAD = HEADS["causal-lm"]
"""The layers of every causal head are of one class and of one configuration."""


@every_variant
@pytest.mark.parametrize("edited_from", [1, 17, 39])
def test_the_future_changes_nothing_bit_for_bit(variant, edited_from):
    model, ids = HEAD.build(variant), random_ids(3, 40)
    before = token_outputs(model, ids)[:, :edited_from]
    edited = torch.cat((ids[:, :edited_from], random_ids(3, 40 - edited_from)), 1)
    assert the_same(model, token_outputs(model, edited)[:, :edited_from], before)


@every_variant
def test_a_prefix_gives_what_the_whole_gives(variant):
    model, ids = HEAD.build(variant), random_ids(2, 40)
    whole = token_outputs(model, ids)
    for length in (1, 7, 25):
        assert (token_outputs(model, ids[:, :length]) - whole[:, :length]).abs().max() < 1e-5


@every_variant
def test_every_layer_really_uses_the_past(variant):
    """The bound above would hold for a model that sees nothing at all."""
    model, ids = HEAD.build(variant), random_ids(1, 20)
    edited = ids.clone()
    edited[0, 17] = ids[0, 17] % 40 + 1
    assert (token_outputs(model, edited) - token_outputs(model, ids))[0, 18:].abs().max() > 1e-4


@every_variant
def test_bidirectional_models_see_the_future(variant):
    model, ids = HEADS["token-classification"].build(variant), random_ids(1, 20)
    edited = ids.clone()
    edited[0, 3] = ids[0, 3] % 40 + 1
    assert (token_outputs(model, edited) - token_outputs(model, ids))[0, :3].abs().max() > 1e-4
