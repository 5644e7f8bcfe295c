"""Dropout and choices that come out the same again."""

import pytest
import torch
from torch import nn

from reformer.nn import Replay
from reformer.nn.replay import replays


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_dropout_has_its_probability_and_keeps_the_mean(probability):
    ones = torch.ones(300, 501)
    dropped = Replay(3).dropout(ones, probability)
    assert abs((dropped == 0).float().mean() - probability) < 0.005
    assert abs(dropped.mean() - 1) < 0.02


def _dropping():
    layer = nn.Linear(1, 1)
    layer.dropout = 0.5
    return layer


def test_a_rewound_replay_repeats_every_draw():
    replay, ones = Replay(3), torch.ones(100)
    first, second = replay.dropout(ones, 0.5), replay.dropout(ones, 0.5)
    assert not torch.equal(first, second)
    replay.rewind()
    assert torch.equal(replay.dropout(ones, 0.5), first)
    assert torch.equal(replay.dropout(ones, 0.5), second)


def test_without_a_seed_nothing_is_dropped():
    ones = torch.ones(10)
    assert Replay().dropout(ones, 0.9) is ones


def test_replaying_leaves_the_global_random_state_alone():
    plain, dropping = nn.Linear(1, 1), _dropping()
    before = torch.get_rng_state()
    Replay(3).dropout(torch.ones(10), 0.5)
    replays([plain] * 4, training=True)
    replays([dropping] * 4, training=False)
    assert torch.equal(torch.get_rng_state(), before)


def test_sub_layers_draw_differently():
    first, second = replays([_dropping(), nn.Linear(1, 1)], training=True)
    assert not torch.equal(first.dropout(torch.ones(99), 0.5), second.dropout(torch.ones(99), 0.5))


def test_what_is_kept_is_computed_once():
    replay, calls = Replay(), []
    for _ in range(2):
        assert replay.keep("buckets", lambda: calls.append(1) or torch.tensor(7)) == 7
    assert len(calls) == 1


def test_parts_of_the_same_rows_have_seeds_of_their_own_and_draw_alike():
    found, states = [], []
    for process in (None, 0, 1):
        torch.manual_seed(5)
        found.append([each.seed for each in replays([_dropping(), _dropping()], training=True, process=process)])
        states.append(torch.get_rng_state())
    assert len({seed for seeds in found for seed in seeds}) == 6
    assert all(torch.equal(state, states[0]) for state in states)
