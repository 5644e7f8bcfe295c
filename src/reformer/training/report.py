"""Report of a run: its metrics and the lines on the console."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.console import Console
from transformers import PreTrainedModel

from reformer import __version__
from reformer.recipe import Recipe
from reformer.tasks.base import Run, Task, TaskData
from reformer.training.trainer import CountingTrainer


def changes_in_words(changes: Mapping[str, Any]) -> Iterator[str]:
    """Lines for whoever starts the run: which weights are not the trained model's, and which of those are not used."""
    words = {"new": "new weights", "dropped": "not taken", "drawn": "hash rotations drawn anew"}
    for kind, meaning in words.items():
        if changes.get(kind):
            yield f"{meaning}: {', '.join(changes[kind])}"


def alterations_in_words(told: Mapping[str, Any], metric: str) -> Iterator[str]:
    """Lines for whoever starts the run: what each layer and head is worth, and what was done."""
    for number, worth in enumerate(told.get("worth", ())):
        yield f"layer {number}: without it {metric} {_change(worth)}"
    if "kept" in told:
        yield f"layers kept: {', '.join(map(str, told['kept']))}"
    for number, worths in enumerate(told.get("heads_worth", ())):
        measured = [f"{head} {_change(worth)}" for head, worth in enumerate(worths) if worth is not None]
        if measured:
            yield f"layer {number}: {metric} without its head {', '.join(measured)}"
    for number, heads in enumerate(told.get("kept_heads", ())):
        yield f"heads kept in layer {number}: {', '.join(map(str, heads)) or 'none, it is no attention'}"
    if "score" in told:
        yield f"{metric} of the trained model {told['score']:.4f}, trimmed {told['trimmed_score']:.4f}"
    if "distinct_layers" in told:
        yield f"layers with weights of their own: {told['distinct_layers']}"
    if "hidden_size" in told:
        yield f"hidden width: {told['hidden_size']}"


def _change(worth: float) -> str:
    return f"{'falls' if worth >= 0 else 'gains'} by {abs(worth):.4f}"


def _introduce(console: Console, data: TaskData, model: PreTrainedModel, recipe: Recipe, folder: Path) -> None:
    for line in data.describe():
        console.print(line, highlight=False)
    weights = sum(parameter.numel() for parameter in model.parameters())
    chosen = f"{torch.get_num_threads()} threads, products in {recipe.training.precision}"
    console.print(f"{weights:,} weights, {chosen}, into {folder}", highlight=False)


def _say_frozen(console: Console, model: PreTrainedModel) -> None:
    console.print(f"{_learning(model):,} of the weights learn, the others are frozen", highlight=False)


def _learning(model: PreTrainedModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _metrics(trainer: CountingTrainer, run: Run[Task], data: TaskData, learned: int) -> dict[str, Any]:
    """What `metrics.json` says: how it was trained, and the scores of the weights that were kept."""
    state, schedule = trainer.state, trainer.schedule
    measured = next(
        entry
        for entry in state.log_history
        if entry["step"] == state.best_global_step and f"eval_{run.task.best_metric}" in entry
    )
    scores = {
        name.removeprefix("eval_"): value
        for name, value in measured.items()
        if name.removeprefix("eval_") in ("loss", *data.new_metric().result())
    }
    return {
        "task": run.recipe.training.task,
        "validation": {"step": state.best_global_step, **scores},
        "test": data.test_metrics(run),
        "training": {
            "steps": state.global_step,
            "epochs": state.epoch,
            "minutes": schedule.seconds / 60,
            "tokens": state.num_input_tokens_seen,
            "tokens_per_second": state.num_input_tokens_seen / schedule.seconds,
            "weights": sum(parameter.numel() for parameter in run.model.parameters()),
            "learned_weights": learned,
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
