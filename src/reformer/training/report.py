"""Report of a run: the lines that introduce it on the console, and its metrics."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.console import Console
from transformers import PreTrainedModel

from reformer import __version__
from reformer.metrics.classification import CLASS
from reformer.recipe import Recipe
from reformer.tasks.base import Reviewed, Run, Task, TaskData
from reformer.terminal import say
from reformer.training.callbacks.base import ReportingCallback
from reformer.training.trainer import CountingTrainer, DivergedError
from reformer.wording import counted


def introduce(console: Console, recipe: Recipe, data: TaskData, model: PreTrainedModel, folder: Path) -> None:
    """Print the size of the data and of the model, and how and into which folder it is trained."""
    for line in data.describe():
        say(console, line)
    for line in data.cautions():
        say(console, f"warning: {line}")
    chosen = f"{torch.get_num_threads()} threads, products in {recipe.training.precision}"
    say(console, f"{counted(count_weights(model), 'weight')}, {chosen}, into {folder}")


def introduce_frozen(console: Console, model: PreTrainedModel) -> None:
    """Print how many of the weights learn."""
    say(console, f"{count_weights(model, learned=True):,} of the weights learn, the others are frozen")


def count_weights(model: PreTrainedModel, *, learned: bool = False) -> int:
    """The number of the model's weights.

    Args:
        learned: leave out those that are frozen.
    """
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad or not learned)


def run_metrics(
    trainer: CountingTrainer,
    callbacks: Iterable[ReportingCallback],
    run: Run[Task],
    data: TaskData,
    learned_weights: int,
    start: dict[str, Any] | None,
    baseline: dict[str, Any] | None,
    reviewed: Reviewed | None,
) -> dict[str, Any]:
    """The contents of `metrics.json`: how the run was trained, and the scores of its best weights.

    Args:
        callbacks: each may add to the tables.
        learned_weights: how many weights of the model that was trained were not frozen.
        start: the pretrained model and the changes to it, if there was one.
        baseline: the classical method and its scores, if it was measured.
        reviewed: the answers of the best weights on the held-out parts, where the task has such.
    """
    state, schedule = trainer.state, trainer.schedule
    name = run.task.best_metric
    measured = [entry for entry in state.log_history if f"eval_{name}" in entry]
    best = next((entry for entry in measured if entry["step"] == state.best_global_step), None)
    if best is None:
        raise DivergedError(
            f"{name} on the validation part was NaN at each of {counted(len(measured), 'evaluation')}, so no "
            "weights could be "
            "chosen; look at the numbers of that part, or lower training.learning_rate"
        )
    # In this order also in a resumed run, whose history has been sorted in its checkpoint.
    of_classes = sorted(key.removeprefix("eval_") for key in best if key.startswith(f"eval_{CLASS}"))
    names = ("loss", *data.new_metric().result(), *of_classes)
    scores = {name: best[f"eval_{name}"] for name in names if f"eval_{name}" in best}
    metrics: dict[str, Any] = {
        "task": run.recipe.training.task,
        "validation": {"step": state.best_global_step, **scores},
        "test": _test_metrics(run, data, reviewed),
        "training": {
            "steps": state.global_step,
            "epochs": state.epoch,
            "minutes": schedule.seconds / 60,
            "whole_minutes": trainer.schedule_callback.whole_seconds / 60,
            "tokens": state.num_input_tokens_seen,
            "tokens_per_second": state.num_input_tokens_seen / schedule.seconds,
            "weights": count_weights(run.model),
            "learned_weights": learned_weights,
            "threads": torch.get_num_threads(),
            "precision": run.recipe.training.precision,
            "processes": trainer.args.world_size,
        },
        "versions": {
            "reformer": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }
    joined = data.joined_test_metrics(run)
    if joined is not None:
        metrics["test_joined"] = joined
    if start is not None:
        metrics["start"] = start
    if reviewed is not None:
        calibration = reviewed.calibration
        # The shifts of intervals, one a step and quantile, are in `calibration.json` alone.
        fitted = {name: value for name, value in asdict(calibration).items() if value is not None}
        fitted.pop("intervals", None)
        metrics["calibration"] = {
            **fitted,
            **{part: review.calibration_metrics(calibration) for part, review in reviewed.parts.items()},
        }
    if baseline is not None:
        metrics["baseline"] = baseline
    for callback in callbacks:
        for table, values in callback.metrics().items():
            metrics[table] |= values
    return metrics


def _test_metrics(run: Run[Task], data: TaskData, reviewed: Reviewed | None) -> dict[str, int | float] | None:
    if reviewed is None:
        return data.test_metrics(run)
    return dict(reviewed.parts["test"].metrics) if "test" in reviewed.parts else None
