"""Memory of training is flat in depth but for parameters, their gradients and the bucket ids."""

import gc
import weakref

import pytest
import torch

from reformer.nn import recomputation, residual, reversible
from tests.contract.models import HEADS, VARIANTS, random_ids


def _kept_bytes(model, ids, labels) -> int:
    """What autograd and the layers hold between forward and backward, parameters excepted."""
    kept: dict[int, int] = {}
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model(input_ids=ids, **labels).loss
    loss.backward()
    return sum(kept.values())


@pytest.mark.parametrize("kind", ["full", "local", "lsh", "local+lsh", "fourier"])
def test_what_autograd_keeps_does_not_grow_with_depth(kind):
    head, ids = HEADS["token-classification"], random_ids(1, 200)
    kept = {}
    for reversible_stack in (True, False):
        for depth in (2, 8):
            model = head.build("local", attention_layers=[kind] * depth, reversible=reversible_stack).train()
            kept[reversible_stack, depth] = _kept_bytes(model, ids, head.labels(ids))
    assert kept[True, 8] == kept[True, 2]
    assert kept[False, 8] > 3 * kept[False, 2]


@pytest.mark.parametrize("variant", [name for name in VARIANTS if VARIANTS[name].get("residual_streams") != 1])
def test_no_option_makes_it_grow_with_depth(variant):
    head, ids, layers = HEADS["causal-lm"], random_ids(1, 100), VARIANTS[variant]["attention_layers"]
    kept = []
    for times in (1, 3):
        options = {"attention_layers": layers * times}
        if "shortened_layers" in VARIANTS[variant]:
            options["shortened_layers"] = [times, len(layers) * times - times]
        kept.append(_kept_bytes(head.build(variant, **options).train(), ids, head.labels(ids)))
    assert kept[0] == kept[1]


def test_a_plain_model_that_recomputes_keeps_one_vector_a_token_and_sublayer():
    head, ids = HEADS["token-classification"], random_ids(1, 200)
    kept = {}
    for recompute in (True, False):
        for depth in (2, 8):
            layers = ["local+lsh"] * depth
            model = head.build("post-norm", attention_layers=layers, recompute=recompute).train()
            kept[recompute, depth] = _kept_bytes(model, ids, head.labels(ids))
    stream = ids.shape[1] * model.config.hidden_size * 4
    assert kept[True, 8] - kept[True, 2] <= 2 * 6 * stream
    assert kept[False, 8] - kept[False, 2] > 5 * (kept[True, 8] - kept[True, 2])


def test_by_itself_it_runs_again_what_would_be_much(monkeypatch):
    head, ids = HEADS["token-classification"], random_ids(1, 200)
    kept = {}
    for recompute in (False, True, "auto"):
        model = head.build("post-norm", attention_layers=["local+lsh"] * 6, recompute=recompute).train()
        kept[recompute] = _kept_bytes(model, ids, head.labels(ids))
    assert kept["auto"] == kept[False]
    # What a pass keeps is told from the weights, within a third.
    for bound, expected in ((0.67, True), (1.5, False)):
        monkeypatch.setattr(recomputation, "COMPUTED_BYTES", bound * (kept[False] - kept[True]))
        assert _kept_bytes(model, ids, head.labels(ids)) == kept[expected], bound


def test_a_reversible_model_too_may_keep_what_is_little(monkeypatch):
    head, ids = HEADS["causal-lm"], random_ids(1, 200)
    kept = {}
    for reversible_stack in (False, True, "auto"):
        model = head.build("mixed", reversible=reversible_stack).train()
        kept[reversible_stack] = _kept_bytes(model, ids, head.labels(ids))
    assert kept["auto"] == kept[False] > kept[True]
    monkeypatch.setattr(recomputation, "COMPUTED_BYTES", 0)
    assert _kept_bytes(model, ids, head.labels(ids)) == kept[True]


def test_of_long_sequences_it_keeps_the_root_of_that(monkeypatch):
    monkeypatch.setattr(residual, "KEPT_BYTES", 0)
    head, ids = HEADS["token-classification"], random_ids(1, 200)
    kept = {}
    for depth in (2, 8, 18):
        model = head.build("post-norm", attention_layers=["local+lsh"] * depth, recompute=True).train()
        kept[depth] = _kept_bytes(model, ids, head.labels(ids))
    stream = ids.shape[1] * model.config.hidden_size * 4
    # Of 4, 16 and 36 sub-layers 2, 4 and 6 vectors.
    assert kept[8] - kept[2] == kept[18] - kept[8] == 2 * stream


@pytest.fixture
def drawn(monkeypatch):
    """The replays of every forward pass, as they are drawn."""
    found = []
    draw = reversible.replays

    def watched(sublayers, **options):
        found.append(draw(sublayers, **options))
        return found[-1]

    monkeypatch.setattr(reversible, "replays", watched)
    return found


def test_the_bucket_ids_kept_are_small(drawn):
    """Two bytes a token, head and round: the one thing that does grow with depth."""
    head, ids = HEADS["token-classification"], random_ids(1, 100)
    loss = head.build("lsh").train()(input_ids=ids, **head.labels(ids)).loss
    kept = [tensor for replay in drawn[0] for tensor in replay._kept.values()]
    assert len(kept) == 3
    assert sum(tensor.nbytes for tensor in kept) == 3 * 2 * 2 * 100 * 2
    loss.backward()


def test_nothing_outlives_the_backward_pass(drawn):
    head, ids = HEADS["token-classification"], random_ids(1, 50)
    model = head.build("mixed").train()
    loss = model(input_ids=ids, **head.labels(ids)).loss
    replay = weakref.ref(drawn[0][0])
    drawn.clear()
    assert replay() is not None
    loss.backward()
    del loss
    gc.collect()
    assert replay() is None
