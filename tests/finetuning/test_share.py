"""Layers that share: fewer weights, each the mean of those it replaces."""

import pytest
import torch

from reformer.finetuning import FinetuningError, layers, share
from tests.contract.models import HEADS, outputs, random_ids

HEAD = HEADS["token-classification"]


def test_a_shared_weight_is_the_mean_and_the_rest_stays():
    model = HEAD.build("mixed", attention_layers=["local", "lsh"] * 3)
    fewer = share(model, 2)
    assert fewer.config.num_distinct_layers == 2
    for number, (ours, theirs) in enumerate(zip(layers(fewer), layers(model), strict=True)):
        for place, (mine, before) in enumerate(zip(ours, theirs, strict=True)):
            users = [dict(layer[place].named_parameters()) for layer in layers(model)[number % 2 :: 2]]
            for name, weight in mine.named_parameters():
                if weight.dim() > 1:
                    assert torch.allclose(weight, torch.stack([user[name] for user in users]).mean(0)), name
                else:
                    assert torch.equal(weight, before.get_parameter(name)), name


def test_layers_that_are_alike_are_the_same_function_when_shared(tmp_path):
    model, ids = HEAD.build("local", attention_layers=["local"] * 4), random_ids(2, 23)
    every = layers(model)
    for layer in every[2:]:
        for mine, theirs in zip(layer, every[int(layer is every[3])], strict=True):
            mine.load_state_dict(theirs.state_dict())
    fewer = share(model, 2)
    assert (outputs(fewer, ids) - outputs(model, ids)).abs().max() < 1e-6
    fewer.save_pretrained(tmp_path)
    assert torch.equal(outputs(HEAD.model.from_pretrained(tmp_path), ids), outputs(fewer, ids))


def test_layers_of_a_shortened_sequence_share_with_others():
    """Where a layer runs is no matter: layers that are alike are the same function, shared or not."""
    model, ids = HEAD.build("hourglass", attention_layers=["local"] * 4, shortened_layers=[1, 3]), random_ids(2, 23)
    every = layers(model)
    for layer in every[1:]:
        for mine, theirs in zip(layer, every[0], strict=True):
            mine.load_state_dict(theirs.state_dict())
    fewer = share(model, 2)
    assert fewer.num_parameters() < model.num_parameters()
    assert (outputs(fewer, ids) - outputs(model, ids)).abs().max() < 1e-6


def test_half_the_layers_are_half_their_weights_and_learn_on():
    model = HEAD.build("local", attention_layers=["local"] * 6)
    fewer = share(model, 3).train()
    weights = [
        sum(p.numel() for p in set(each.reformer.encoder.parameters()) if p.dim() > 1) for each in (model, fewer)
    ]
    assert weights[1] * 2 == weights[0]
    ids = random_ids(1, 20)
    fewer(input_ids=ids, **HEAD.labels(ids)).loss.backward()
    assert all(p.grad is not None for p in fewer.parameters())


def test_layers_that_cannot_share_are_named():
    with pytest.raises(FinetuningError, match="num_distinct_layers=2: in attention_layers, layer 2 is 'full'"):
        share(HEAD.build("mixed"), 2)
    with pytest.raises(FinetuningError, match="expected 1 to 3"):
        share(HEAD.build("local"), 4)
    with pytest.raises(FinetuningError, match="share already"):
        share(HEAD.build("local", num_distinct_layers=1), 1)
