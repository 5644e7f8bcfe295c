"""Layers taken out: an ordinary smaller model, and the layers that the score misses least."""

import pytest
import torch

from reformer.finetuning import FinetuningError, keep_layers, layers, prune_layers
from tests.contract.models import HEADS, every_variant, outputs, random_ids

HEAD = HEADS["token-classification"]


def _silence(model, number):
    """Let a layer add nothing to the streams."""
    with torch.no_grad():
        for sublayer in layers(model)[number]:
            for name, weight in sublayer.function.named_parameters():
                if name.startswith(("output.", "outer.")):
                    weight.zero_()


@every_variant
def test_keeping_every_layer_changes_nothing(variant):
    model, ids = HEAD.build(variant), random_ids(2, 23)
    if variant in ("shared", "hourglass"):
        with pytest.raises(FinetuningError, match="taken out"):
            keep_layers(model, range(len(layers(model))))
        return
    same = keep_layers(model, range(len(layers(model))))
    assert torch.equal(outputs(same, ids), outputs(model, ids))


@pytest.mark.parametrize("gone", [0, 1, 2, 3])
def test_a_layer_that_adds_nothing_is_not_missed(gone):
    model, ids = HEAD.build(attention_layers=["local", "lsh", "full", "local+lsh"]), random_ids(2, 23)
    _silence(model, gone)
    kept = [number for number in range(4) if number != gone]
    smaller = keep_layers(model, kept)
    assert smaller.config.attention_layers == [model.config.attention_layers[number] for number in kept]
    assert smaller.config.num_hidden_layers == 3
    assert (outputs(smaller, ids) - outputs(model, ids)).abs().max() < 1e-6


def test_a_smaller_model_is_saved_and_loaded_as_any_other(tmp_path):
    model, ids = HEAD.build("mixed"), random_ids(2, 23)
    smaller = keep_layers(model, [0, 2])
    smaller.save_pretrained(tmp_path)
    assert torch.equal(outputs(HEAD.model.from_pretrained(tmp_path), ids), outputs(smaller, ids))
    assert sum(p.numel() for p in smaller.parameters()) < sum(p.numel() for p in model.parameters())


def _measure(ids, model):
    """How near a model's outputs are to those of this one."""
    expected = outputs(model, ids)
    return lambda other: 1 - float((outputs(other, ids) - expected).abs().mean())


def test_the_layer_that_is_missed_least_goes_first():
    model, ids = HEAD.build(attention_layers=["local"] * 4), random_ids(2, 23)
    _silence(model, 2)
    found = prune_layers(model, _measure(ids, model), count=3)
    assert found.kept == (0, 1, 3)
    assert found.worth[2] == pytest.approx(0, abs=1e-6)
    assert all(worth > 1e-3 for number, worth in enumerate(found.worth) if number != 2)
    assert found.score == 1.0
    assert found.pruned_score == pytest.approx(1, abs=1e-6)
    assert found.model.config.num_hidden_layers == 3


def test_layers_go_while_the_score_falls_no_further_than_said():
    model, ids = HEAD.build(attention_layers=["local"] * 4), random_ids(2, 23)
    for number in (0, 3):
        _silence(model, number)
    measure = _measure(ids, model)
    assert prune_layers(model, measure, tolerance=1e-4).kept == (1, 2)
    assert len(prune_layers(model, measure, tolerance=1e9).kept) == 1
    lower = prune_layers(model, lambda other: -measure(other), tolerance=1e-4, greater_is_better=False)
    assert lower.kept == (1, 2)
    assert lower.score == -1.0
    kept = prune_layers(model, measure, count=4)
    assert kept.model is model
    assert kept.kept == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ([], r"layers to keep: \[\]; expected rising numbers from 0 to 2"),
        ([1, 0], "rising"),
        ([0, 0], "rising"),
        ([0, 3], "from 0 to 2"),
        ([-1], "from 0 to 2"),
    ],
)
def test_layers_that_cannot_be_kept_are_named(kept, message):
    with pytest.raises(FinetuningError, match=message):
        keep_layers(HEAD.build("local"), kept)


def test_what_to_prune_to_is_said_once_and_within_reach():
    model = HEAD.build("local")
    with pytest.raises(FinetuningError, match="either how many layers to keep or by how much"):
        prune_layers(model, lambda _: 0.0)
    with pytest.raises(FinetuningError, match="5 layers to keep: the model has 3"):
        prune_layers(model, lambda _: 0.0, count=5)
    shared = HEAD.build("local", num_distinct_layers=1)
    with pytest.raises(FinetuningError, match="prune before sharing"):
        keep_layers(shared, [0])


def test_a_stack_that_shortens_its_sequence_is_not_pruned():
    message = r"shortened_layers=\[1, 4\]: what runs on a shortened sequence is told by the layers' numbers"
    model = HEAD.build("hourglass")
    with pytest.raises(FinetuningError, match=message):
        keep_layers(model, [0, 1])
    with pytest.raises(FinetuningError, match=message):
        prune_layers(model, lambda _: 0.0, count=2)


def test_of_a_post_norm_model_each_layer_keeps_the_norms_behind_its_sublayers():
    model, ids = HEAD.build("post-norm"), random_ids(2, 23)
    found = {}
    for number, layer in enumerate(layers(model)):
        layer[0].norm.register_forward_hook(lambda module, given, made, number=number: found.update({number: made}))
    outputs(model, ids)
    lower = keep_layers(model, [0, 1])
    with torch.no_grad():
        assert torch.equal(lower.reformer(ids).last_hidden_state, found[2])
    theirs, ours = model.reformer.state_dict(), keep_layers(model, [0, 3]).reformer.state_dict()
    for place, source in {"0": "0", "1": "1", "2": "2", "3": "7"}.items():
        name = "encoder.sublayers.{}.norm.weight"
        assert torch.equal(ours[name.format(place)], theirs[name.format(source)])
    assert torch.equal(ours["norm.weight"], theirs["norm.weight"])


def test_the_norm_of_the_embeddings_cannot_go():
    with pytest.raises(FinetuningError, match=r"\[1, 2\]; with norm_order='first' .* layer 0 has to stay"):
        keep_layers(HEAD.build("rms"), [1, 2])
