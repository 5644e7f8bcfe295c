"""The learning rate and the evaluations follow the steps, or the clock."""

import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import TrainerControl, TrainerState

from reformer.training import schedule as schedule_module
from reformer.training.schedule import Schedule, ScheduleCallback


def test_by_steps_the_rate_rises_and_falls_in_straight_lines():
    schedule = Schedule(max_steps=100, max_minutes=None, warmup_ratio=0.1, evaluations=4)
    assert [schedule(step) for step in (0, 5, 10, 55, 100)] == pytest.approx([0.1, 0.5, 1.0, 0.5, 0.0])


def test_without_warm_up_the_rate_only_falls():
    schedule = Schedule(max_steps=4, max_minutes=None, warmup_ratio=0.0, evaluations=1)
    assert [schedule(step) for step in range(5)] == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_the_rate_is_never_above_its_highest():
    assert Schedule(max_steps=3, max_minutes=None, warmup_ratio=0.1, evaluations=1)(0) == 1.0


def test_by_the_clock_the_rate_reaches_zero_in_time():
    schedule = Schedule(max_steps=10**9, max_minutes=2, warmup_ratio=0.25, evaluations=4)
    rates = []
    for seconds in (15, 30, 75, 120, 500):
        schedule.seconds = seconds
        rates.append(schedule(1))
    assert rates == pytest.approx([0.5, 1.0, 0.5, 0.0, 0.0])


def test_the_further_of_steps_and_clock_counts():
    schedule = Schedule(max_steps=10, max_minutes=1, warmup_ratio=0.0, evaluations=4)
    schedule.seconds = 6
    assert schedule.progress(5) == 0.5
    schedule.seconds = 54
    assert schedule.progress(5) == pytest.approx(0.9)


def test_evaluations_are_spread_evenly_and_the_last_is_at_the_end():
    schedule = Schedule(max_steps=10, max_minutes=None, warmup_ratio=0.0, evaluations=3)
    assert [step for step in range(1, 11) if schedule.evaluation_due(step)] == [4, 7, 10]


def test_more_evaluations_than_steps_are_one_a_step():
    schedule = Schedule(max_steps=2, max_minutes=None, warmup_ratio=0.0, evaluations=50)
    assert [schedule.evaluation_due(step) for step in (1, 2)] == [True, True]


@pytest.mark.parametrize("heard", ["on_optimizer_step", "on_train_end"])
def test_a_request_while_others_agree_is_heard_at_the_next_occasion(monkeypatch, heard):
    callback = ScheduleCallback(Schedule(max_steps=100, max_minutes=None, warmup_ratio=0.0, evaluations=1))
    events: Any = (SimpleNamespace(device=torch.device("cpu")), TrainerState(), TrainerControl())
    sent = []

    def agree(seconds, request, device):
        if not sent:
            sent.append(os.kill(os.getpid(), signal.SIGTERM))
        return seconds, request

    monkeypatch.setattr(schedule_module, "_agreed", agree)
    try:
        callback.on_train_begin(*events)
        callback.on_optimizer_step(*events)
        assert sent
        assert callback.request is None
        getattr(callback, heard)(*events)
        assert callback.request == signal.SIGTERM
    finally:
        callback.interruption.release()
