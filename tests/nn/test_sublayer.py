"""A chunked sub-layer, run again a few tokens at a time, leaves the stream and finds the gradients of the whole one."""

import pytest
import torch

from reformer.nn import FeedForward, SubLayer, Tokens
from reformer.nn.replay import Replay
from reformer.nn.reversible import pullback


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("length", [8, 9, 25])
def test_pulling_back_in_chunks_equals_at_once(dropout, length):
    torch.manual_seed(0)
    sublayer = SubLayer(FeedForward(6, 10, gated=True, chunk_size=8), 6, dropout).double()
    hidden, grad = torch.randn(2, length, 6).double(), torch.randn(2, length, 6).double()
    tokens = Tokens.of(torch.ones(2, length, dtype=torch.bool), padded=False)
    parameters = list(sublayer.parameters())[:-1]
    stream = torch.randn(2, length, 6).double()
    left, wanted = stream.clone(), stream.clone()
    found = sublayer.pullback(hidden, tokens, Replay(7), left, grad, parameters)
    expected = pullback(sublayer, hidden, tokens, Replay(7), wanted, grad, parameters)
    assert torch.allclose(left, wanted, atol=1e-12)
    assert torch.allclose(wanted + sublayer(hidden, tokens, Replay(7)), stream, atol=1e-12)
    assert torch.allclose(found[0], expected[0], atol=1e-12)
    for mine, theirs in zip(found[1], expected[1], strict=True):
        assert torch.allclose(mine, theirs, atol=1e-12)
