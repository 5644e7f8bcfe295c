"""Regularisers of a run beside its loss: scheduled dropout, and group lasso."""

from typing import Any

from torch.optim import Optimizer
from transformers import PreTrainedModel, TrainerControl, TrainerState, TrainingArguments

from reformer.errors import ReformerError
from reformer.finetuning import GroupLasso
from reformer.models import ReformerPreTrainedModel
from reformer.training.callbacks.base import ReportingCallback
from reformer.training.schedule import Schedule


class DropoutSchedule(ReportingCallback):
    """Hidden dropout that changes linearly over the run, from the configuration's probability, or ends before the run.

    The run's progress decides, so a resumed run has the dropout that it would have had.

    Args:
        model: changed before each step.
        schedule: for the run's progress.
        last: the probability at the end; None for that of the configuration.
        until: the progress from which on nothing is dropped out; None for never.

    Raises:
        ReformerError: there is no dropout that could end.
    """

    def __init__(self, model: PreTrainedModel, schedule: Schedule, last: float | None, until: float | None) -> None:
        assert isinstance(model, ReformerPreTrainedModel)
        self._model, self._schedule, self._until = model, schedule, until
        self._first = float(model.config.hidden_dropout_prob)
        self._last = self._first if last is None else last
        if not self._first and not self._last:
            raise ReformerError(
                "training.dropout_until: model.hidden_dropout_prob is 0, so there is none to end; leave it out"
            )

    def at(self, step: int) -> float:
        """The dropout's probability in the step after `step` steps."""
        progress = self._schedule.progress(step)
        if self._until is not None and progress >= self._until:
            return 0.0
        return self._first + (self._last - self._first) * progress

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._model.set_hidden_dropout(self.at(state.global_step))


class GroupLassoCallback(ReportingCallback):
    """Steps of a `GroupLasso`, one after each step of the optimizer and with its learning rate."""

    def __init__(self, lasso: GroupLasso) -> None:
        self._lasso = lasso

    def metrics(self) -> dict[str, dict[str, Any]]:
        """The heads and layers whose weights are exactly zero."""
        return {"training": {"zeros": self._lasso.zeros()}}

    def on_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: Optimizer | None = None,
        **kwargs: Any,
    ) -> None:
        assert optimizer is not None
        self._lasso.shrink(float(optimizer.param_groups[0]["lr"]))
