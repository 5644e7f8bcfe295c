"""Schedule of a run, by steps or by the clock: its progress, learning rate, evaluations and end."""

import math
import time
from typing import Any

import torch
from torch import distributed
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from reformer.interruption import Interruption


class Schedule:
    """Progress of a run from 0 to 1, and the learning rate's factor there.

    Of a run that is bounded in steps and in minutes, the progress is the larger of the two. PyTorch's `LambdaLR` has
    the schedule as its function, and stores its attributes in every checkpoint: a resumed run goes on with them, and
    one of another name would not be found. The time between interruption and resumption does not count.
    """

    def __init__(self, max_steps: int, max_minutes: float | None, warmup_ratio: float, evaluations: int):
        self.max_steps = max_steps
        self.max_seconds = None if max_minutes is None else 60 * max_minutes
        self.warmup_ratio = warmup_ratio
        self.evaluations = evaluations
        self.seconds = 0.0
        self.evaluated = 0

    def progress(self, step: int) -> float:
        """The part of the run that is done after `step` steps and `seconds` seconds."""
        by_clock = self.seconds / self.max_seconds if self.max_seconds is not None else 0.0
        return min(1.0, max(step / self.max_steps, by_clock))

    def __call__(self, step: int) -> float:
        """The learning rate's factor: up to 1 in the warm-up, then straight down to 0 at the end."""
        progress = self.progress(step)
        if progress < self.warmup_ratio:
            # At progress 0 the rate would be 0 and the first step lost.
            return min(1.0, max(progress, 1 / self.max_steps) / self.warmup_ratio)
        return (1 - progress) / (1 - self.warmup_ratio)

    def evaluation_due(self, step: int) -> bool:
        """Whether the run has passed the next of its evenly spread evaluations; counts it if so."""
        due = math.floor(self.progress(step) * self.evaluations + 1e-9)
        passed = due > self.evaluated
        self.evaluated = max(due, self.evaluated)
        return passed


class ScheduleCallback(TrainerCallback):
    """Clock, evaluations and end of a `Trainer`'s run by a `Schedule`.

    A request to stop (`interruption`) ends the step that is under way, saves, and stops, in all processes at the same
    step: `request` is the signal that they have agreed on.
    """

    def __init__(self, schedule: Schedule):
        self.schedule = schedule
        self.interruption = Interruption()
        self.request: int | None = None
        self.whole_seconds = 0.0
        """Of the run with its last evaluation, where `Schedule.seconds` ends at the last step."""
        self.ends_itself = False
        """Whether the process ends, whatever signals come."""
        self._started = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._started = time.perf_counter() - self.schedule.seconds
        self.interruption.hold()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.whole_seconds = time.perf_counter() - self._started
        # A signal after the last step's agreement would be lost: nothing reads the request after this.
        _, self.request = _agreed(0.0, self.interruption.request, args.device)
        self.interruption.release()

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.schedule.seconds, self.request = _agreed(
            time.perf_counter() - self._started, self.interruption.request, args.device
        )

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        # Before the request to stop: the resumed run would make up for a missed evaluation with later weights.
        if self.schedule.evaluation_due(state.global_step):
            control.should_log = control.should_evaluate = control.should_save = True
        if self.request is not None:
            control.should_save = control.should_training_stop = True
        if self.schedule.progress(state.global_step) >= 1:
            control.should_training_stop = True


def _agreed(seconds: float, request: int | None, device: torch.device) -> tuple[float, int | None]:
    """The longest time and any request to stop among all processes, which must evaluate and stop at the same step."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return seconds, request
    values = torch.tensor([seconds, float(request or 0)], dtype=torch.float64, device=device)
    distributed.all_reduce(values, op=distributed.ReduceOp.MAX)
    return float(values[0]), int(values[1]) or None
