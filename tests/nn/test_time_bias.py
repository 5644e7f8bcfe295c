"""Scores that the tokens' positions bias, as one more column of queries and keys."""

import math
from dataclasses import replace

import pytest
import torch

from reformer.nn import Attention, AttentionOptions, Replay, TimeBias, Tokens
from reformer.nn.time_bias import time_waves

LENGTH, STEPS = 12, [0.5, 2.0, 3.0]


def test_the_score_gains_the_bias():
    bias = TimeBias(3)
    with torch.no_grad():
        bias.amplitude.normal_()
    position = torch.arange(19)
    waves = time_waves(position[None], STEPS, LENGTH)
    query, key = torch.randn(2, 3, 19, 8), torch.randn(2, 3, 19, 8)
    wide_query, wide_key, wide_value = bias(query, key, key, 0.25, waves)
    phase = (math.pi * position.double() * torch.tensor(STEPS)[:, None].double() / LENGTH) ** 2
    of_query, of_key = (bias.amplitude.double()[:, None] * wave for wave in (phase.sin(), phase.cos()))
    expected = 0.25 * query @ key.mT + of_query[..., None] * of_key[:, None] + of_key[:, None]
    assert (0.25 * wide_query @ wide_key.mT - expected).abs().max() < 1e-5
    assert torch.equal(wide_value[..., :8], key)
    assert not wide_value[..., 8].any()


@pytest.mark.parametrize("kind", ["full", "local", "lsh", "local+lsh"])
def test_it_starts_without_effect_and_learns_at_once(kind):
    options = AttentionOptions(rounds=1, buckets=2)
    biased = Attention(kind, 24, 3, 8, replace(options, time_heads=[0, 2, 1])).eval()
    plain = Attention(kind, 24, 3, 8, options).eval()
    plain.load_state_dict({name: biased.state_dict()[name] for name in plain.state_dict()})
    tokens = Tokens.of(torch.ones(1, 19, dtype=torch.bool))
    tokens = replace(tokens, time=time_waves(tokens.positions, STEPS, LENGTH))
    hidden = torch.randn(1, 19, 24)
    found = biased(hidden, tokens, Replay())
    assert (found - plain(hidden, tokens, Replay())).abs().max() < 1e-5
    found.square().sum().backward()
    assert (biased.time_bias.amplitude.grad.abs() > 1e-4).all()


def test_the_phase_of_a_far_position_is_that_of_the_formula():
    # An exact phase, in fractions of a turn: where step / length is sqrt(2 / pi) it is i^2 turns.
    waves = time_waves(torch.tensor([[10**6]]), [math.sqrt(2 / math.pi)], 1)
    assert abs(float(waves[1]) - 1) < 1e-2
    assert abs(float(waves[0])) < 1e-2
