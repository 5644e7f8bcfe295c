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
from reformer.tasks.base import NoBaselineError, Task, TaskData
from reformer.terminal import say

BASELINE = "baseline.json"
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
    if found is None:
        begun = time.perf_counter()
        try:
            with torch.random.fork_rng(devices=[]):
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
        make_folders(folder / START)
        write(folder / START / BASELINE, (json.dumps(found, ensure_ascii=False) + "\n").encode())
    score, seconds = found["validation"][task.best_metric], found["seconds"]
    note = "" if found["note"] is None else f"; {found['note']}"
    scored = f"{task.best_metric} {score:.4f} on the validation part, {seconds:.0f} s"
    say(console, f"baseline {found['method']}: {scored}{note}")
    return found


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
