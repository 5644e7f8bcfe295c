"""How long a run will take, said once and early."""

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from transformers import TrainerControl, TrainerState

from reformer.tasks.registry import TASKS
from reformer.training.callbacks import progress
from reformer.training.schedule import Schedule

NEVER = 10**9


def _told(monkeypatch, schedule, *, steps=200, accumulation=1, evaluate_at=()):
    """What a run says whose first step takes 30 s and every other one 0.5 s, in 20 batches for an evaluation."""
    clock, printed = [0.0], io.StringIO()
    monkeypatch.setattr(progress.time, "perf_counter", lambda: clock[0])
    data = SimpleNamespace(format_loss=lambda loss: f"loss {loss}")
    console = Console(file=printed, width=200)
    shown = progress.Progress(
        console, schedule, TASKS["token-classification"], data, evaluation_batches=20, standstill=lambda: None
    )
    state, control = TrainerState(), TrainerControl()
    args = SimpleNamespace(gradient_accumulation_steps=accumulation)
    shown.on_train_begin(args, state, control)
    for step in range(1, steps + 1):
        state.global_step = step
        clock[0] += 30 if step == 1 else 0.5
        schedule.seconds = clock[0]
        if schedule.progress(step) >= 1:
            break
        shown.on_step_end(args, state, control)
        if step in evaluate_at:
            clock[0] += 100
            shown.on_evaluate(args, state, control, {"eval_f1": 0.5, "eval_loss": 1.0})
    return [line for line in printed.getvalue().splitlines() if "of training here" in line]


@pytest.mark.parametrize("evaluate_at", [(), (10,)])
@pytest.mark.parametrize("accumulation", [1, 4])
def test_a_run_bounded_in_steps_says_once_how_long_it_takes(monkeypatch, accumulation, evaluate_at):
    evaluations = 6
    told = _told(monkeypatch, Schedule(600, None, 0.1, evaluations), accumulation=accumulation, evaluate_at=evaluate_at)
    seconds = 30 + 599 * 0.5 + 100 * len(evaluate_at) + evaluations * 20 * 0.5 / accumulation / 3
    assert told == [f"about {seconds / 60:.1f} min of training here: 600 steps"]


def test_a_run_bounded_by_the_clock_says_nothing_of_it(monkeypatch):
    assert _told(monkeypatch, Schedule(NEVER, 4.0, 0.1, 6)) == []
    assert _told(monkeypatch, Schedule(600, 4.0, 0.1, 6)) == []


def test_steps_that_end_before_the_clock_are_told(monkeypatch):
    assert len(_told(monkeypatch, Schedule(600, 10.0, 0.1, 6))) == 1


@pytest.mark.parametrize(
    ("losses", "remedy"), [((1.0, 0.9), "still falls: train longer"), ((0.9, 1.0), "falls no more")]
)
def test_an_evaluation_that_finds_nothing_says_what_it_sees(losses, remedy):
    printed, seen = io.StringIO(), "validation has 44 entities; every tag is O"
    data: Any = SimpleNamespace(format_loss=lambda loss: f"loss {loss}")
    console = Console(file=printed, width=200)
    task, schedule = TASKS["token-classification"], Schedule(600, None, 0.1, 6)
    shown = progress.Progress(console, schedule, task, data, 1, standstill=lambda: seen)
    state, control, args = TrainerState(), TrainerControl(), SimpleNamespace(gradient_accumulation_steps=1)
    shown.on_train_begin(args, state, control)
    for step, loss in zip((10, 20), losses, strict=True):
        state.global_step = step
        shown.on_evaluate(args, state, control, {"eval_f1": 0.0, "eval_loss": loss})
    assert f"note: {seen} after 20 steps; the loss {remedy}" in printed.getvalue()
