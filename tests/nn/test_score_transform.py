"""Coefficients that start as the identity, and learn."""

from dataclasses import replace

import pytest
import torch

from reformer.nn import Attention, AttentionOptions, Replay, Tokens


@pytest.mark.parametrize("transform", ["polynomial", "sinh"])
@pytest.mark.parametrize("kind", ["full", "local", "lsh", "local+lsh"])
def test_it_starts_as_the_identity_and_learns_at_once(kind, transform):
    options = AttentionOptions(rounds=1, buckets=2)
    with_transform = replace(options, score_transform=transform, score_order=2)
    transformed = Attention(kind, 24, 3, 8, with_transform, causal=True).eval()
    plain = Attention(kind, 24, 3, 8, options, causal=True).eval()
    plain.load_state_dict({name: transformed.state_dict()[name] for name in plain.state_dict()})
    mask = torch.ones(2, 19, dtype=torch.bool)
    mask[1, :6] = False
    hidden, tokens = torch.randn(2, 19, 24), Tokens.of(mask)
    found = transformed(hidden, tokens, Replay())
    assert (found - plain(hidden, tokens, Replay())).abs().max() < 1e-5
    found.square().sum().backward()
    assert transformed.transform.coefficients.grad.abs().min() > 0
