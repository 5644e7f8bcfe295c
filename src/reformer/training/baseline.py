"""Baseline of a run: measured before the first step, kept for a resumed run, told on the console and in the report."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from reformer.files import make_folders, write
from reformer.recipe import Recipe
from reformer.runs.folder import START
from reformer.tasks.base import Baseline, NoBaselineError, Task, TaskData
from reformer.terminal import say

BASELINE = "baseline.json"
MAX_SECONDS = 60.0
"""Of the baseline itself, above which it is not fitted to shares of the training part, which take as long again."""
_SCORES = TypeAdapter(dict[str, Any])


def measured_baseline(
    recipe: Recipe, task: Task, data: TaskData, folder: Path, console: Console, *, anew: bool
) -> dict[str, Any] | None:
    """What `metrics.json` says of the task's classical method; None where the recipe or the task has none.

    No random state changes.

    Args:
        anew: measure it although the run has before it was interrupted, since its data have changed.
    """
    if recipe.training.baseline == "none":
        return None
    found = None if anew else _kept(folder)
    if found is not None:
        say(console, _in_words(found, task.best_metric))
    else:
        begun = time.perf_counter()
        with torch.random.fork_rng(devices=[]):
            try:
                baseline = data.baseline()
            except NoBaselineError as error:
                say(console, f"no baseline: {error}")
                return None
            found = {
                "method": baseline.method,
                "seconds": time.perf_counter() - begun,
                "validation": dict(baseline.validation),
                "test": None if baseline.test is None else dict(baseline.test),
                "note": baseline.note,
            }
            say(console, _in_words(found, task.best_metric))
            if baseline.learned_from is not None:
                found["learning_curve"] = _curve(data, baseline) if found["seconds"] <= MAX_SECONDS else None
        make_folders(folder / START)
        write(folder / START / BASELINE, (json.dumps(found, ensure_ascii=False) + "\n").encode())
    if "learning_curve" in found:
        say(console, _curve_in_words(found, task.best_metric))
    return found


def _in_words(baseline: Mapping[str, Any], metric: str) -> str:
    score, seconds = baseline["validation"][metric], baseline["seconds"]
    note = "" if baseline["note"] is None else f"; {baseline['note']}"
    return f"baseline {baseline['method']}: {metric} {score:.4f} on the validation part, {seconds:.0f} s{note}"


def _curve(data: TaskData, whole: Baseline) -> list[dict[str, Any]] | None:
    """The validation scores by the number of training documents, all of them last; None where they are too few."""
    parts = list(data.baselines_of_shares())
    if not parts:
        return None
    return [{"documents": each.learned_from, "validation": dict(each.validation)} for each in (*parts, whole)]


def _curve_in_words(baseline: Mapping[str, Any], metric: str) -> str:
    curve = baseline["learning_curve"]
    if curve is None:
        if baseline["seconds"] > MAX_SECONDS:
            return f"no learning curve of the baseline: that alone took more than {MAX_SECONDS:.0f} s"
        return "no learning curve of the baseline: the training documents are too few to take parts of"
    points = ", ".join(f"{point['validation'][metric]:.4f} from {point['documents']:,}" for point in curve)
    half, whole = curve[-2:]
    change = whole["validation"][metric] - half["validation"][metric]
    return (
        f"learning curve of the baseline, not of the model: {metric} {points} training documents; "
        f"from {half['documents']:,} to {whole['documents']:,} it changes by {change:+.4f}"
    )


def below_baseline(metrics: Mapping[str, Any], task: Task) -> str | None:
    """A line for the console where the best weights score worse than the baseline; None elsewhere."""
    baseline, name = metrics.get("baseline"), task.best_metric
    for part in ("test", "validation"):
        if baseline is None or metrics[part] is None or baseline[part] is None:
            continue
        mine, other = metrics[part][name], baseline[part][name]
        if (mine < other) if task.greater_is_better else (mine > other):
            return (
                f"{name} {mine:.4f} on the {part} part is worse than the {other:.4f} of {baseline['method']}: train "
                "for longer, choose another model, or use that"
            )
        return None
    return None


def _kept(folder: Path) -> dict[str, Any] | None:
    """The baseline that an interrupted run has kept; None if there is none, or none that can be read."""
    try:
        return _SCORES.validate_json((folder / START / BASELINE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
