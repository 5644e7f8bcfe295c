"""The long convolution against its definition; causality bit for bit."""

import pytest
import torch

from reformer.ops.long_convolution import long_convolution


def _definition(inputs, filters, causal):
    lags = filters.shape[1]
    first = 0 if causal else -(lags // 2)
    output, length = torch.zeros_like(inputs), inputs.shape[2]
    for index in range(lags):
        lag = first + index
        begin, end = max(0, lag), min(length, length + lag)
        if begin < end:
            part = filters[:, index, None] * inputs[..., begin - lag : end - lag]
            output = output + torch.nn.functional.pad(part, (begin, length - end))
    return output


@pytest.mark.parametrize("length", [1, 63, 200, 389])
@pytest.mark.parametrize("lags", [1, 5, 65, 301])
@pytest.mark.parametrize("causal", [True, False])
def test_values_and_gradients_equal_the_definition(length, lags, causal):
    inputs = torch.randn(2, 3, length, dtype=torch.float64, requires_grad=True)
    filters = torch.randn(3, lags, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 3, length, dtype=torch.float64)
    found = long_convolution(inputs, filters, causal=causal)
    expected = _definition(inputs, filters, causal)
    assert (found - expected).abs().max() < 1e-10
    for ours, theirs in zip(
        torch.autograd.grad(found, (inputs, filters), weights, materialize_grads=True),
        torch.autograd.grad(expected, (inputs, filters), weights, materialize_grads=True),
        strict=True,
    ):
        assert (ours - theirs).abs().max() < 1e-10


@pytest.mark.parametrize("edited_from", [1, 64, 100, 511, 700])
def test_later_inputs_change_no_earlier_output_bit_for_bit(edited_from):
    inputs, filters = torch.randn(2, 4, 1000), torch.randn(4, 600)
    before = long_convolution(inputs, filters, causal=True)
    inputs[..., edited_from:] = 1000 * torch.randn(2, 4, 1000 - edited_from)
    after = long_convolution(inputs, filters, causal=True)
    assert torch.equal(after[..., :edited_from], before[..., :edited_from])
    assert not torch.equal(after[..., edited_from:], before[..., edited_from:])


def test_bfloat16_is_computed_in_float32():
    inputs, filters = torch.randn(1, 2, 90).bfloat16(), torch.randn(2, 70)
    found = long_convolution(inputs, filters, causal=True)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, long_convolution(inputs.float(), filters, causal=True).bfloat16())
