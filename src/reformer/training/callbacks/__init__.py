"""Callbacks of a run, built from its recipe."""

from collections.abc import Callable

from rich.console import Console
from transformers import PreTrainedModel

from reformer.finetuning import GroupLasso
from reformer.recipe import Recipe
from reformer.tasks.base import Task, TaskData
from reformer.training.callbacks.averaging import WeightAverage
from reformer.training.callbacks.base import ReportingCallback
from reformer.training.callbacks.freed_memory import FreedMemory
from reformer.training.callbacks.gradual_unfreezing import GradualUnfreezing
from reformer.training.callbacks.hashed_layers import HashedLayers
from reformer.training.callbacks.progress import Progress
from reformer.training.callbacks.regularisers import DropoutSchedule, GroupLassoCallback
from reformer.training.schedule import Schedule

__all__ = ["ReportingCallback", "build_callbacks"]


def build_callbacks(
    recipe: Recipe,
    task: Task,
    data: TaskData,
    model: PreTrainedModel,
    schedule: Schedule,
    console: Console,
    checkpoint: str | None,
    evaluation_batches: int,
    standstill: Callable[[], str | None],
) -> list[ReportingCallback]:
    """The callbacks that the recipe asks for, in the order in which they act.

    Args:
        model: on the device it is trained on; weights that moved later would not be those that callbacks act on.
        console: for progress and notes.
        checkpoint: the folder of the checkpoint that the run resumes from, if any.
        evaluation_batches: of one evaluation.
        standstill: what the last evaluation has seen where nothing was found.

    Raises:
        ReformerError: the model does not allow one of them.
    """
    chosen = recipe.training
    callbacks: list[ReportingCallback] = []
    if chosen.final_dropout is not None or chosen.dropout_until is not None:
        callbacks.append(DropoutSchedule(model, schedule, chosen.final_dropout, chosen.dropout_until))
    if chosen.head_lasso is not None or chosen.layer_lasso is not None:
        lasso = GroupLasso(model, heads=chosen.head_lasso or 0.0, layers=chosen.layer_lasso or 0.0)
        callbacks.append(GroupLassoCallback(lasso))
    if recipe.finetune.freeze == "auto":
        callbacks.append(GradualUnfreezing(model, task.best_metric, task.greater_is_better, console))
    if chosen.ema_decay is not None:
        callbacks.append(WeightAverage(model, chosen.ema_decay, checkpoint))
    if chosen.inspect_examples is not None:
        callbacks.append(HashedLayers(model, data, chosen.inspect_examples))
    progress = Progress(console, schedule, task, data, evaluation_batches, standstill)
    return [*callbacks, FreedMemory(model, console), progress]
