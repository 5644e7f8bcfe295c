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
    stream, earlier = torch.randn(2, length, 6).double(), torch.randn(2, length, 6).double()
    left, wanted, of_hidden, expected_of_hidden = stream.clone(), stream.clone(), earlier.clone(), earlier.clone()
    found = sublayer.pullback(hidden, tokens, Replay(7), left, grad, parameters, of_hidden)
    expected = pullback(sublayer, hidden, tokens, Replay(7), wanted, grad, parameters, expected_of_hidden)
    assert torch.allclose(left, wanted, atol=1e-12)
    assert torch.allclose(wanted + sublayer(hidden, tokens, Replay(7)), stream, atol=1e-12)
    assert torch.allclose(of_hidden, expected_of_hidden, atol=1e-12)
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-12)
    sublayer.add_to(left, hidden, tokens, Replay(7))
    assert torch.allclose(left, stream, atol=1e-12)
