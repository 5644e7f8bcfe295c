"""Frozen parts keep their weights and cost nothing in the backward pass; the other gradients are what they were."""

import re

import pytest
import torch

from reformer.finetuning import FinetuningError, freeze, freeze_all_but_top, layers
from reformer.insight.doctor.gradients import plain_twin
from tests.contract.models import HEADS, every_variant, random_ids

HEAD = HEADS["token-classification"]


def _loss(model, ids):
    return model(input_ids=ids, **HEAD.labels(ids)).loss


@every_variant
def test_the_rest_gets_the_gradients_it_had(variant):
    model = HEAD.build(variant, hidden_dropout_prob=0.1).double().train()
    if variant == "none":
        pytest.skip("it has one layer, which is the top one")
    ids, found = random_ids(2, 23), []
    for twin in (model, plain_twin(model)):
        frozen = set()
        for parts in ([], ["embeddings", "0"]):
            frozen = set(freeze(twin, parts)) if parts else set()
            twin.zero_grad()
            torch.manual_seed(3)
            _loss(twin, ids).backward()
            found.append({name: p.grad for name, p in twin.named_parameters() if p.requires_grad})
            assert all(p.grad is None for name, p in twin.named_parameters() if name in frozen)
    whole, part, plain_whole, plain_part = found
    assert part.keys() == plain_part.keys()
    assert 0 < len(part) < len(whole)
    for name in part:
        assert (part[name] - whole[name]).abs().max() < 1e-12, name
        assert (part[name] - plain_whole[name]).abs().max() < 1e-9, name


def test_the_frozen_bottom_is_not_run_again():
    model = HEAD.build("local", attention_layers=["local"] * 4).train()
    freeze(model, ["embeddings", "0-2"])
    runs = [0] * len(model.reformer.encoder.sublayers)

    def count(index):
        def hook(*_):
            runs[index] += 1

        return hook

    for index, sublayer in enumerate(model.reformer.encoder.sublayers):
        sublayer.function.register_forward_hook(count(index))
    _loss(model, random_ids(1, 20)).backward()
    assert runs == [1] * 6 + [2] * 2


def test_with_trained_embeddings_the_gradient_goes_all_the_way_down():
    model = HEAD.build("local").train()
    freeze(model, ["0-2"])
    _loss(model, random_ids(1, 20)).backward()
    assert model.reformer.embeddings.weight.grad is not None


def test_a_frozen_bottom_draws_the_dropout_it_would_have_drawn():
    model, ids = HEAD.build("local", hidden_dropout_prob=0.3).train(), random_ids(1, 20)
    torch.manual_seed(1)
    expected = _loss(model, ids)
    freeze(model, ["embeddings", "0-1"])
    torch.manual_seed(1)
    assert torch.equal(_loss(model, ids), expected)


def test_parts_are_layers_ranges_names_and_embeddings():
    def frozen(*parts):
        return freeze(HEAD.build("ngrams"), parts)

    assert frozen("embeddings") == [
        "reformer.embeddings.weight",
        "reformer.ngrams.table",
        "reformer.ngrams.projection.weight",
    ]
    assert all("sublayers.0." in name or "sublayers.1." in name for name in frozen("0"))
    assert len(frozen("0-1")) == sum(1 for part in (0, 1) for _ in frozen(str(part)))
    assert frozen("*.value.weight") == [f"reformer.encoder.sublayers.{index}.function.value.weight" for index in (0, 2)]
    assert frozen("*.value.weight", "classifier.bias")[-1] == "classifier.bias"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (["7"], r"has '7'; the model has the layers 0 to 2"),
        (["2-1"], r"has '2-1'; the model has the layers 0 to 2"),
        (["encodr*"], r"has 'encodr\*', and no parameter's name fits it; expected embeddings, a layer as 2"),
        (["*"], r"nothing is left to train; freeze less"),
    ],
)
def test_what_cannot_be_frozen_is_named(parts, message):
    with pytest.raises(FinetuningError, match=message):
        freeze(HEAD.build("local"), parts)


def test_two_stacks_are_told_by_their_names():
    def frozen(*parts):
        return freeze(HEADS["encoder-decoder"].build("mixed"), parts)

    assert all(name.startswith("reformer.encoder.encoder.sublayers.") for name in frozen("encoder.0-3"))
    # Three sub-layers: attention, what it looks at, feed-forward; and here a convolution before them.
    numbers = {int(name.split(".")[4]) for name in frozen("decoder.1")}
    assert numbers == {4, 5, 6, 7}
    assert {name.split(".")[1] for name in frozen("decoder.1")} == {"decoder"}
    below = frozen("embeddings")
    assert "reformer.encoder.embeddings.weight" in below
    assert any(name.startswith("reformer.decoder.positions.") for name in below)
    assert not any(".sublayers." in name for name in below)
    assert frozen("*.encoder.embeddings.weight") == ["reformer.encoder.embeddings.weight"]


@pytest.mark.parametrize(
    ("name", "part", "message"),
    [
        ("encoder-decoder", "0-1", "has '0-1', and the model has no such stack; expected encoder.0-1 or decoder.0-1"),
        ("encoder-decoder", "decoder.2", "has 'decoder.2'; its decoder has the layers 0 to 1"),
        ("token-classification", "encoder.1", "has 'encoder.1', and the model has no such stack; expected 1"),
    ],
)
def test_a_stack_or_layer_that_is_not_there_is_named(name, part, message):
    with pytest.raises(FinetuningError, match=re.escape(message)):
        freeze(HEADS[name].build("local"), [part])


def test_a_frozen_encoder_is_not_run_again_and_the_decoder_learns_as_before():
    head, ids = HEADS["encoder-decoder"], random_ids(2, 23)
    model = head.build("local").double().train()
    found = []
    for parts in ([], ["embeddings", "encoder.0-2"]):
        if parts:
            freeze(model, parts)
        model.zero_grad()
        torch.manual_seed(3)
        model(input_ids=ids, **head.labels(ids)).loss.backward()
        found.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert not any(".encoder.encoder." in name for name in found[1])
    assert any(".decoder.encoder." in name for name in found[1])
    for name, gradient in found[1].items():
        assert (gradient - found[0][name]).abs().max() < 1e-12, name


@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_from_the_top_down(count):
    model = HEAD.build("local")
    freeze_all_but_top(model, 2)
    freeze_all_but_top(model, count)
    trained = [all(p.requires_grad for part in layer for p in part.parameters()) for layer in layers(model)]
    assert trained == [index >= 3 - count for index in range(3)]
    assert model.reformer.embeddings.weight.requires_grad == (count == 4)
    assert model.classifier.weight.requires_grad
    assert model.reformer.norm.weight.requires_grad
