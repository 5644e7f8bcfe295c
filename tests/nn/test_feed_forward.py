"""The feed-forward sub-layer."""

import pytest
import torch

from reformer.nn import FeedForward, Replay, Tokens

TOKENS = Tokens.of(torch.ones(2, 11, dtype=torch.bool), False)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
def test_it_is_its_equation(activation, gated):
    layer, hidden = FeedForward(6, 10, activation, gated), torch.randn(2, 11, 6)
    inner = getattr(torch.nn.functional, activation)(layer.inner(hidden))
    if gated:
        inner = inner * layer.gate(hidden)
    assert torch.equal(layer(hidden, TOKENS, Replay()), layer.outer(inner))


@pytest.mark.parametrize("chunk_size", [1, 3, 11, 50])
def test_chunks_change_nothing(chunk_size):
    layer, hidden = FeedForward(6, 10).double(), torch.randn(2, 11, 6, dtype=torch.float64)
    whole = layer(hidden, TOKENS, Replay())
    layer.chunk_size = chunk_size
    seen = []
    layer.inner.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[1]))
    assert (layer(hidden, TOKENS, Replay()) - whole).abs().max() < 1e-14
    with torch.no_grad():
        assert (layer(hidden, TOKENS, Replay()) - whole).abs().max() < 1e-14
    assert max(seen) == min(chunk_size, 11)
