"""Progress of a run on the console: a bar with loss and score in a terminal, and a line for each evaluation."""

import math
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as ProgressBar
from transformers import TrainerControl, TrainerState, TrainingArguments

from reformer.tasks.base import Task, TaskData
from reformer.terminal import say
from reformer.training.callbacks.base import ReportingCallback
from reformer.training.schedule import Schedule
from reformer.wording import counted

# Without a terminal to draw a bar in, a line with the loss is printed this often.
SECONDS_BETWEEN_LINES = 15
# The first steps take longer: memory is reserved, and kernels are checked. The estimate is made from those after them.
FIRST_STEPS, ESTIMATE_AFTER_SECONDS = 5, 10


class Progress(ReportingCallback):
    """Progress of a run on one console, as `Schedule` counts it.

    Args:
        console: where to print; a quiet one in all processes but the first.
        task: whose score is shown.
        data: how a loss is shown.
        evaluation_batches: of one evaluation, for the estimate of a run that is bounded in steps.
        standstill: what the last evaluation has seen where nothing was found; None elsewhere.
    """

    def __init__(
        self,
        console: Console,
        schedule: Schedule,
        task: Task,
        data: TaskData,
        evaluation_batches: int,
        standstill: Callable[[], str | None],
    ):
        self._standstill, self._lowest_loss = standstill, math.inf
        self._console, self._schedule, self._task, self._data = console, schedule, task, data
        self._evaluation_batches = evaluation_batches
        self._bar = ProgressBar(
            TextColumn("{task.percentage:3.0f}%"),
            BarColumn(bar_width=30),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
        )
        self._row: TaskID = self._bar.add_task("first step", total=1.0)
        self._loss, self._score = float("nan"), float("nan")
        self._printed = time.perf_counter()
        self._tokens, self._since = 0, 0.0
        # Step and time from which the estimate counts, until it is told.
        self._counted_from: tuple[int, float] | None = None
        self._begun_at, self._estimated = 0, False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._tokens, self._since = state.num_input_tokens_seen, time.perf_counter()
        self._begun_at = state.global_step
        losses = (entry["eval_loss"] for entry in state.log_history if "eval_loss" in entry)
        self._lowest_loss = min(losses, default=math.inf)
        if state.best_metric is not None:
            self._score = state.best_metric
        if self._console.is_terminal:
            self._bar.start()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away; the printed lines stay."""
        if self._bar.live.is_started:
            self._bar.stop()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        now = time.perf_counter()
        if not self._estimated:
            self._estimate(args, state.global_step, now)
        speed = (state.num_input_tokens_seen - self._tokens) / (now - self._since)
        status = f"{self._line(state)}  {speed:,.0f} tokens/s"
        self._bar.update(self._row, completed=self._schedule.progress(state.global_step), description=status)
        overdue = now - self._printed > SECONDS_BETWEEN_LINES
        if overdue and not self._console.is_terminal:
            self._print(status)

    def _estimate(self, args: TrainingArguments, step: int, now: float) -> None:
        """Say once how long a run that is bounded in steps will take on this machine."""
        if self._counted_from is None:
            if step - self._begun_at >= FIRST_STEPS:
                self._counted_from = step, now
            return
        first, since = self._counted_from
        if now - since < ESTIMATE_AFTER_SECONDS:
            return
        self._estimated = True
        by_clock = self._schedule.max_seconds
        # A batch of an evaluation passes forward alone, which is a third of the work of learning from it.
        batch = (now - since) / (step - first) / args.gradient_accumulation_steps
        learning = (self._schedule.max_steps - step) * batch * args.gradient_accumulation_steps
        evaluating = (self._schedule.evaluations - self._schedule.evaluated) * self._evaluation_batches * batch / 3
        seconds = self._schedule.seconds + learning + evaluating
        if by_clock is None or seconds < by_clock:
            self._print(f"about {seconds / 60:.1f} min of training here: {counted(self._schedule.max_steps, 'step')}")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if logs and "loss" in logs:
            self._loss = logs["loss"]

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        assert metrics is not None
        score = metrics[f"eval_{self._task.best_metric}"]
        best = state.best_metric is None or (
            score > state.best_metric if self._task.greater_is_better else score < state.best_metric
        )
        self._score = score
        # The estimate counts steps alone.
        self._counted_from = None
        self._print(f"{self._line(state)}  measured{'  best so far' if best else ''}")
        self._say_standstill(state.global_step, metrics["eval_loss"])

    def _say_standstill(self, step: int, loss: float) -> None:
        seen, falls = self._standstill(), loss < self._lowest_loss
        self._lowest_loss = min(self._lowest_loss, loss)
        if seen is not None and step:
            remedy = (
                "the loss still falls: train longer"
                if falls
                else "the loss falls no more: try another training.learning_rate, and look at the labels"
            )
            self._print(f"note: {seen} after {counted(step, 'step')}; {remedy}")

    def _line(self, state: TrainerState) -> str:
        score = "" if math.isnan(self._score) else f"  {self._task.best_metric} {self._score:.4f}"
        loss = "" if math.isnan(self._loss) else f"  {self._data.format_loss(self._loss)}"
        return f"{self._schedule.seconds / 60:5.1f} min  step {state.global_step:,}{loss}{score}"

    def _print(self, line: str) -> None:
        say(self._console, line)
        self._printed = time.perf_counter()
