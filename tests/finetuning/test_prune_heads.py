"""Heads taken out: an ordinary smaller model, and the heads that the score misses least."""

import pytest
import torch

from reformer.finetuning import FinetuningError, heads_of, keep_heads, layers, prune_heads
from reformer.models import ReformerConfig
from reformer.nn import Attention, MixedAttention
from tests.contract.models import HEADS, VARIANTS, outputs, random_ids

HEAD = HEADS["token-classification"]
FOUR = {"num_attention_heads": 4, "attention_head_size": 8}


def _build(variant, **options):
    grouped = {} if VARIANTS[variant].get("num_attention_heads") else FOUR
    return HEAD.build(variant, **grouped, **options)


def _attention(model, layer):
    found = (sublayer.function for sublayer in layers(model)[layer])
    return next(each for each in found if isinstance(each, Attention | MixedAttention))


@torch.no_grad()
def _silence(model, layer, head):
    """Let a head write nothing to the stream."""
    attention, kinds = _attention(model, layer), model.config.attention_layers[layer]
    groups = model.config.head_groups(kinds)
    modules = attention.groups if isinstance(attention, MixedAttention) else [attention]
    for group, module in zip(groups, modules, strict=True):
        if head in group.heads:
            at, width = group.heads.index(head), module.head_dim
            module.output.weight[:, at * width : (at + 1) * width] = 0


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "shared"])
def test_a_head_that_writes_nothing_is_not_missed(variant):
    model, ids = _build(variant).double(), random_ids(2, 23)
    there = heads_of(model)
    assert torch.equal(outputs(keep_heads(model, there), ids), outputs(model, ids))
    # Heads that share keys go together.
    gone = {2, 3} if "num_key_value_heads" in VARIANTS[variant] else {1}
    layer = next(number for number, heads in enumerate(there) if heads)
    for head in gone:
        _silence(model, layer, head)
    left = [[head for head in heads if number != layer or head not in gone] for number, heads in enumerate(there)]
    fewer = keep_heads(model, left)
    assert heads_of(fewer) == tuple(map(tuple, left))
    assert (outputs(fewer, ids) - outputs(model, ids)).abs().max() < 1e-9
    assert sum(p.numel() for p in fewer.parameters()) < sum(p.numel() for p in model.parameters())
    # The others do count.
    others = [heads[-1:] if number == layer else heads for number, heads in enumerate(left)]
    if "num_key_value_heads" not in VARIANTS[variant]:
        assert (outputs(keep_heads(model, others), ids) - outputs(model, ids)).abs().max() > 1e-6


def test_a_model_with_fewer_heads_is_saved_loaded_trained_and_pruned_again(tmp_path):
    model, ids = HEAD.build("heads", reversible=True), random_ids(2, 23)
    fewer = keep_heads(model, [[0, 2], [0, 1, 3], [2]])
    assert fewer.config.attention_layers[0] == ["full", "none", "full", "none"]
    assert fewer.config.attention_layers[1] == ["lsh", "local", "none", "full"]
    fewer.save_pretrained(tmp_path)
    assert torch.equal(outputs(HEAD.model.from_pretrained(tmp_path), ids), outputs(fewer, ids))
    fewer.train()(input_ids=ids, **HEAD.labels(ids)).loss.backward()
    assert all(p.grad is not None for p in fewer.parameters())
    assert heads_of(keep_heads(fewer.eval(), [[2], [3], [2]])) == ((2,), (3,), (2,))


def _measure(ids, model):
    expected = outputs(model, ids)
    return lambda other: 1 - float((outputs(other, ids) - expected).abs().mean())


def test_the_heads_that_are_missed_least_go_first():
    model, ids = _build("local"), random_ids(2, 23)
    for layer, head in ((0, 1), (0, 3), (1, 0), (2, 2)):
        _silence(model, layer, head)
    measure = _measure(ids, model)
    found = prune_heads(model, measure, tolerance=1e-5)
    assert found.kept == ((0, 2), (1, 2, 3), (0, 1, 3))
    assert found.score == 1.0
    assert found.pruned_score == pytest.approx(1, abs=1e-5)
    assert found.worth[0][1] == pytest.approx(0, abs=1e-6)
    assert found.worth[0][0] > 1e-3
    found = prune_heads(model, measure, count=2)
    assert [len(heads) for heads in found.kept] == [2, 2, 2]
    assert found.kept[0] == (0, 2)
    assert 0 not in found.kept[1]
    assert heads_of(found.model) == found.kept
    lower = prune_heads(model, lambda other: -measure(other), tolerance=1e-5, greater_is_better=False)
    assert (lower.kept, lower.score) == (((0, 2), (1, 2, 3), (0, 1, 3)), -1.0)
    # A layer keeps one head, whatever may be lost; and one that has no more is not asked what it is worth.
    most = prune_heads(model, measure, tolerance=1e9)
    assert [len(heads) for heads in most.kept] == [1, 1, 1]
    again = prune_heads(most.model, measure, count=1)
    assert again.model is most.model
    assert again.worth == ((None,) * 4,) * 3


def test_heads_that_share_keys_go_together():
    model, ids = HEAD.build("grouped"), random_ids(2, 23)
    found = prune_heads(model, _measure(ids, model), count=2)
    assert all(heads in ((0, 1), (2, 3)) for heads in found.kept)
    assert all(worth[0] == worth[1] for worth in found.worth)
    with pytest.raises(FinetuningError, match="1 heads to keep: expected a multiple of 2, as many as share their keys"):
        prune_heads(model, lambda _: 0.0, count=1)
    with pytest.raises(FinetuningError, match="share keys"):
        keep_heads(model, [[0], [0, 1], [0, 1]])


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ([[0], [0]], "heads to keep in 2 layers: the model has 3"),
        ([[0], [1, 0], [0]], r"heads to keep in layer 1: \[1, 0\]; expected rising numbers of \[0, 1\], at least one"),
        ([[0], [], [0]], "at least one"),
        ([[0], [0], [2]], "rising numbers"),
    ],
)
def test_heads_that_cannot_be_kept_are_named(kept, message):
    with pytest.raises(FinetuningError, match=message):
        keep_heads(HEAD.build("local"), kept)


def test_a_convolution_has_no_heads():
    model = HEAD.build("fourier")
    assert heads_of(model) == ((), (0, 1), ())
    with pytest.raises(FinetuningError, match=r"layer 0: \[0\]; expected rising numbers of \[\]: .* no attention"):
        keep_heads(model, [[0], [0], []])


def test_how_many_go_is_said_once_and_before_sharing():
    with pytest.raises(FinetuningError, match="either how many heads to keep in each layer or by how much"):
        prune_heads(HEAD.build("local"), lambda _: 0.0)
    with pytest.raises(FinetuningError, match=r"num_distinct_layers=2: .* prune before sharing"):
        keep_heads(HEAD.build("shared"), [[0]] * 4)


def test_a_layer_keeps_a_head():
    with pytest.raises(ValueError, match="a layer without any head; expected at least one"):
        ReformerConfig(num_attention_heads=2, attention_layers=[["none", "none"]])
    with pytest.raises(ValueError, match="attention_layers has 'none'"):
        ReformerConfig(attention_layers=["none"])


def test_the_bias_of_a_kind_whose_heads_are_all_gone_stays():
    kinds = ["local", "local", "lsh", "lsh"]
    model, ids = _build("full", attention_layers=[kinds], attention_bias="all").double(), random_ids(2, 23)
    for head in (2, 3):
        _silence(model, 0, head)
    fewer = keep_heads(model, [[0, 1]])
    assert (outputs(fewer, ids) - outputs(model, ids)).abs().max() < 1e-9
