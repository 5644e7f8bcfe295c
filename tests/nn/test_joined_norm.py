"""The norm of streams side by side, in parts and whole: values, gradients, precision."""

import pytest
import torch
from torch import nn

from reformer.nn import token_parts
from reformer.nn.joined_norm import joined_norm
from reformer.nn.norms import NORMS


@pytest.fixture(params=[False, True], ids=["whole", "in parts"])
def _sizes(request, monkeypatch):
    monkeypatch.setattr(token_parts, "WHOLE_BYTES", 0 if request.param else 1 << 60)
    monkeypatch.setattr(token_parts, "PART_BYTES", 2 * 3 * 6 * 8)


@pytest.mark.usefixtures("_sizes")
@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("count", [1, 2])
def test_it_is_the_norm_of_the_streams_joined(kind, count):
    torch.manual_seed(0)
    norm = NORMS[kind](6 * count).double()
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.normal_()
    streams = [torch.randn(2, 11, 6, dtype=torch.float64, requires_grad=True) for _ in range(count)]
    given = torch.randn(2, 11, 6 * count, dtype=torch.float64)
    leaves = [*streams, *norm.parameters()]
    found = joined_norm(norm, streams)
    expected = norm(torch.cat(streams, -1))
    assert (found - expected).abs().max() < 1e-12
    for one, other in zip(
        torch.autograd.grad(found, leaves, given), torch.autograd.grad(expected, leaves, given), strict=True
    ):
        assert (one - other).abs().max() < 1e-12


@pytest.mark.usefixtures("_sizes")
def test_autocast_leaves_it_in_float32_in_both_directions():
    norm = nn.LayerNorm(12)
    streams = [torch.randn(2, 11, 6, requires_grad=True) for _ in range(2)]
    with torch.autocast("cpu", torch.bfloat16):
        found = joined_norm(norm, streams)
    assert found.dtype == torch.float32
    expected = norm(torch.cat(streams, -1))
    given = torch.randn_like(found)
    for one, other in zip(
        torch.autograd.grad(found, streams, given), torch.autograd.grad(expected, streams, given), strict=True
    ):
        assert (one - other).abs().max() < 1e-5


@pytest.mark.usefixtures("_sizes")
def test_frozen_weights_get_no_gradient():
    norm = nn.LayerNorm(12).requires_grad_(False)
    streams = [torch.randn(2, 11, 6, requires_grad=True) for _ in range(2)]
    joined_norm(norm, streams).sum().backward()
    assert norm.weight.grad is None
    assert all(stream.grad is not None for stream in streams)
