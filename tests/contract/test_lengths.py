"""Every length from 1 to the maximum trains; the maximum can be changed when loading."""

from functools import lru_cache

import pytest
import torch

from tests.contract.models import HEADS, every_head_and_variant, every_variant, outputs, random_ids


@lru_cache(1)
def built(head, variant):
    return head.build(variant).train()


# One model for all lengths. With the shapes checked once for every head and variant.
@pytest.mark.parametrize("length", [1, 2, 3, 64, pytest.param(65, marks=pytest.mark.shapes), 256, 17])
@every_head_and_variant
def test_every_length_trains(head, variant, length):
    model, ids = built(head, variant), random_ids(2, length)
    model.zero_grad()
    loss = model(input_ids=ids, **head.labels(ids)).loss
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@every_variant
def test_a_longer_input_is_refused(variant):
    model = HEADS["token-classification"].build(variant)
    with pytest.raises(ValueError, match="257 tokens, longer than max_position_embeddings=256"):
        model(input_ids=random_ids(1, 257))


@pytest.mark.parametrize("variant", ["lsh", "sinusoidal", "none"])
def test_the_maximum_can_be_raised_when_loading(variant, tmp_path):
    head = HEADS["token-classification"]
    model, ids = head.build(variant), random_ids(1, 256)
    model.save_pretrained(tmp_path)
    longer = head.model.from_pretrained(tmp_path, max_position_embeddings=1000).eval()
    assert torch.equal(outputs(longer, ids), outputs(model, ids))
    assert outputs(longer, random_ids(1, 1000)).isfinite().all()


def test_axial_positions_reach_as_far_as_their_table(tmp_path):
    head = HEADS["token-classification"]
    model, ids = head.build("mixed", max_position_embeddings=100), random_ids(1, 100)
    model.save_pretrained(tmp_path)
    longer = head.model.from_pretrained(tmp_path, max_position_embeddings=256).eval()
    assert torch.equal(outputs(longer, ids), outputs(model, ids))
    with pytest.raises(ValueError, match="holds 256 positions"):
        head.model.from_pretrained(tmp_path, max_position_embeddings=257)
