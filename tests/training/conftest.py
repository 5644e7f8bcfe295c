"""What the tests of training share."""

import os
import signal

import pytest

from reformer.training.schedule import PaceKeeper


@pytest.fixture
def interrupt_at(monkeypatch):
    """Press Ctrl-C, or send another signal, at the end of a step."""

    def press(step: int, number: int = signal.SIGINT) -> None:
        on_step_end = PaceKeeper.on_step_end

        def pressed(self, args, state, control, **kwargs):
            if state.global_step == step:
                os.kill(os.getpid(), number)
            on_step_end(self, args, state, control, **kwargs)

        monkeypatch.setattr(PaceKeeper, "on_step_end", pressed)

    return press
