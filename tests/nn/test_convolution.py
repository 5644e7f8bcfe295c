"""The convolution against torch's own, and padding invisible to it."""

import pytest
import torch
from torch.nn.functional import conv1d, pad

from reformer.nn import Replay, SeparableConvolution, Tokens


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("length", [1, 2, 9])
def test_it_is_a_depth_wise_then_a_point_wise_convolution(kernel, causal, length):
    layer, hidden = SeparableConvolution(6, kernel, causal), torch.randn(2, length, 6)
    before = kernel - 1 if causal else kernel // 2
    channels = pad(hidden.transpose(1, 2), (before, kernel - 1 - before))
    mixed = conv1d(channels, layer.depthwise.T[:, None], groups=6).transpose(1, 2)
    found = layer(hidden, Tokens.of(torch.ones(2, length, dtype=torch.bool), False), Replay())
    assert (found - layer.pointwise(mixed)).abs().max() < 1e-6


def test_padding_is_invisible():
    layer, hidden = SeparableConvolution(6, 5), torch.randn(1, 7, 6)
    bare = layer(hidden, Tokens.of(torch.ones(1, 7, dtype=torch.bool), False), Replay())
    mask = pad(torch.ones(1, 7, dtype=torch.bool), (3, 2))
    padded = layer(pad(hidden, (0, 0, 3, 2), value=float("nan")), Tokens.of(mask), Replay())
    assert (padded[:, 3:10] - bare).abs().max() < 1e-6
