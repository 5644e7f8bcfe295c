"""The Fourier layer against its equation, two-sided and causal."""

import pytest
import torch

from reformer.nn import FourierConvolution, Replay, Tokens


@pytest.mark.parametrize("causal", [True, False])
def test_it_is_its_equation(causal):
    layer, hidden = FourierConvolution(6, 4, 5, causal).double(), torch.randn(1, 9, 6, dtype=torch.float64)
    value = hidden[0] @ layer.value.weight.T
    rate = layer.log_decay.exp()
    mixed = torch.zeros_like(value)
    for token in range(9):
        for lag in range(0 if causal else -4, 5):
            if 0 <= token - lag < 9:
                weight = layer.filters[:, lag if causal else lag + 4] * (-rate * abs(lag)).exp()
                share = weight * (1 - (-2 * rate).exp()).sqrt() * value[token - lag]
                mixed = mixed + share * (torch.arange(9) == token)[:, None]
    gate = torch.nn.functional.silu(hidden[0] @ layer.gate.weight.T + layer.gate.bias)
    expected = (mixed * gate) @ layer.output.weight.T
    found = layer(hidden, Tokens.of(torch.ones(1, 9, dtype=torch.bool), False), Replay())
    assert (found[0] - expected).abs().max() < 1e-10
