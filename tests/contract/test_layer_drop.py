"""Layers left out in training: the identity for every stream, in the reversible backward pass as in the plain one."""

import pytest
import torch

from reformer.finetuning import keep_layers
from reformer.insight.doctor.gradients import plain_twin
from reformer.nn import LayerDrop
from tests.contract.models import HEADS, every_variant, outputs, random_ids

HEAD = HEADS["token-classification"]


@every_variant
def test_gradients_equal_the_plain_twin(variant):
    model, ids = HEAD.build(variant, layer_drop=0.5, hidden_dropout_prob=0.1).double().train(), random_ids(2, 23)
    left_out = set()
    for seed in range(4):
        found = []
        for twin in (model, plain_twin(model)):
            torch.manual_seed(seed)
            twin.zero_grad()
            twin(input_ids=ids, **HEAD.labels(ids)).loss.backward()
            found.append({name: parameter.grad for name, parameter in twin.named_parameters()})
        for name, gradient in found[1].items():
            assert (found[0][name] is None) == (gradient is None), name
            assert gradient is None or (found[0][name] - gradient).abs().max() < 1e-9, name
        left_out |= {name for name, gradient in found[1].items() if gradient is None}
    assert left_out


@pytest.mark.parametrize("kernel", [0, 3])
@pytest.mark.parametrize("stays", [[0, 2], [1], [0, 1, 2]])
def test_a_layer_that_is_left_out_is_not_there(kernel, stays, monkeypatch):
    # An odd number of sub-layers would exchange the streams.
    model, ids = HEAD.build("local", layer_drop=0.5, convolution_kernel=kernel), random_ids(2, 23)
    each = 2 + bool(kernel)
    monkeypatch.setattr(
        LayerDrop, "__call__", lambda self, sublayers: [sub for at, sub in enumerate(sublayers) if at // each in stays]
    )
    assert torch.equal(outputs(model.train(), ids), outputs(keep_layers(model.eval(), stays), ids))


@every_variant
def test_evaluation_runs_every_layer(variant):
    torch.manual_seed(3)
    model, ids = HEAD.build(variant, layer_drop=0.9), random_ids(2, 23)
    state = torch.get_rng_state()
    found = outputs(model, ids)
    assert torch.equal(torch.get_rng_state(), state)
    for module in model.modules():
        if hasattr(module, "drop"):
            module.drop = None
    assert torch.equal(outputs(model, ids), found)


def test_each_layer_is_left_out_as_often_as_asked():
    torch.manual_seed(0)
    layers = [torch.nn.Identity() for _ in range(3 * 5000)]
    kept = LayerDrop(0.3, 3)(layers)
    assert len(kept) / len(layers) == pytest.approx(0.7, abs=0.02)
    assert len(kept) % 3 == 0
