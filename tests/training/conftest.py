"""Interruptions and a trained model for the tests of training."""

import os
import signal
from functools import partial

import pytest
from rich.console import Console

from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.schedule import ScheduleCallback
from reformer.training.train import train
from tests.tiny import ner_recipe


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


@pytest.fixture(scope="session")
def labeller(tmp_path_factory):
    """The folder of a trained labeller, to be read only."""
    folder = tmp_path_factory.mktemp("labeller")
    train(checked_recipe(ner_recipe(folder, max_steps=40)), folder / "run", console=Console(quiet=True))
    return folder / "run"
