"""What the tests of training share."""

import os
import signal
from functools import partial

import pytest

from reformer.training.schedule import ScheduleCallback


def press_at(monkeypatch: pytest.MonkeyPatch, step: int, number: int = signal.SIGINT) -> None:
    """Press Ctrl-C, or send another signal, at the end of a step."""
    on_step_end = ScheduleCallback.on_step_end

    def pressed(self, args, state, control, **kwargs):
        if state.global_step == step:
            os.kill(os.getpid(), number)
        on_step_end(self, args, state, control, **kwargs)

    monkeypatch.setattr(ScheduleCallback, "on_step_end", pressed)


@pytest.fixture
def interrupt_at(monkeypatch):
    """`press_at` for one test."""
    return partial(press_at, monkeypatch)
