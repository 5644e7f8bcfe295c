"""Attention over everything, with padding anywhere, against a softmax written out."""

import pytest
import torch

from reformer.nn.full_attention import full_attention


@pytest.mark.parametrize("causal", [False, True])
def test_it_is_the_softmax_over_the_real_tokens(causal):
    query, key, value = torch.randn(3, 3, 2, 9, 4, dtype=torch.float64)
    mask = torch.rand(3, 9) < 0.6
    mask[2] = False
    seen = mask[:, None, None, :].expand(3, 1, 9, 9)
    if causal:
        seen = seen & torch.ones(9, 9, dtype=torch.bool).tril()
    scores = (query @ key.transpose(-1, -2) / 2).masked_fill(~seen, float("-inf"))
    expected = (scores.softmax(-1).nan_to_num(0) @ value) * mask[:, None, :, None]
    found = full_attention(query, key, value, mask, causal)
    assert (found - expected).abs().max() < 1e-12
