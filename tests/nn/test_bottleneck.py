"""The bottleneck against its equation."""

import pytest
import torch

from reformer.nn import Bottleneck


@pytest.mark.parametrize(("name", "activation"), [("tanh", torch.tanh), ("relu", torch.relu)])
def test_it_is_its_equation(name, activation):
    layer, hidden = Bottleneck(6, 2, name), torch.randn(3, 5, 6)
    inner = activation(hidden @ layer.narrow.weight.T + layer.narrow.bias)
    assert inner.shape == (3, 5, 2)
    assert (layer(hidden) - (inner @ layer.widen.weight.T + layer.widen.bias)).abs().max() < 1e-6
