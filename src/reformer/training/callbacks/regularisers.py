"""Regularisers of a run that act beside the loss: dropout that changes as it goes, and group lasso."""

from typing import Any

from torch.optim import Optimizer
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from reformer.errors import ReformerError
from reformer.finetuning import GroupLasso
from reformer.models import ReformerPreTrainedModel
from reformer.recipe import TrainingRecipe
from reformer.training.schedule import Schedule


class DropoutSchedule(TrainerCallback):
    """Hidden dropout that goes straight from the configuration's to another over the run, or ends before it does.

    How far the run is decides, so a resumed run drops out what it would have.

    Args:
        model: changed before each step.
        schedule: how far the run is.
        last: the dropout at the end; None for that of the configuration.
        until: the part of the run after which nothing is dropped out; None for never.

    Raises:
        ReformerError: there is no dropout that could end.
    """

    def __init__(self, model: PreTrainedModel, schedule: Schedule, last: float | None, until: float | None) -> None:
        assert isinstance(model, ReformerPreTrainedModel)
        self._model, self._pace, self._until = model, schedule, until
        self._first = float(model.config.hidden_dropout_prob)
        self._last = self._first if last is None else last
        if not self._first and not self._last:
            raise ReformerError(
                "training.dropout_until: model.hidden_dropout_prob is 0, so there is none to end; leave it out"
            )

    def at(self, step: int) -> float:
        """The dropout of the step after so many."""
        done = self._pace.done(step)
        if self._until is not None and done >= self._until:
            return 0.0
        return self._first + (self._last - self._first) * done

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._model.set_hidden_dropout(self.at(state.global_step))


class GroupLassoCallback(TrainerCallback):
    """A step of a `GroupLasso` after each of the optimizer's, at its rate."""

    def __init__(self, lasso: GroupLasso) -> None:
        self.lasso = lasso

    def on_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: Optimizer | None = None,
        **kwargs: Any,
    ) -> None:
        assert optimizer is not None
        self.lasso.shrink(float(optimizer.param_groups[0]["lr"]))


def regularisers(model: PreTrainedModel, recipe: TrainingRecipe, schedule: Schedule) -> list[TrainerCallback]:
    """Those that the recipe asks for."""
    found: list[TrainerCallback] = []
    if recipe.final_dropout is not None or recipe.dropout_until is not None:
        found.append(DropoutSchedule(model, schedule, recipe.final_dropout, recipe.dropout_until))
    if recipe.head_lasso is not None or recipe.layer_lasso is not None:
        lasso = GroupLasso(model, heads=recipe.head_lasso or 0.0, layers=recipe.layer_lasso or 0.0)
        found.append(GroupLassoCallback(lasso))
    return found
