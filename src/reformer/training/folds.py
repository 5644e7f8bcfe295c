"""Cross-validation: a run for each part of the training records, and their scores together."""

import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reformer.files import make_folders, write
from reformer.recipe import Recipe
from reformer.runs.folder import METRICS, RunError

FOLDS = "folds.json"

Train = Callable[[Recipe, Path], dict[str, Any]]
"""Trains by a recipe into a folder, and returns the metrics."""


def train_folds(
    read: Callable[[Sequence[str]], Recipe], output: Path, folds: int, train: Train, *, resume: bool = False
) -> dict[str, Any]:
    """Train `folds` runs into `output/fold-1`, ..., each held out on another part of the records; return their scores.

    The mean, the standard deviation and each run's value of every score are written to `output/folds.json`, too.

    Args:
        read: the recipe with such changes as `data.fold=1`.
        resume: take the scores of runs that are finished, and train the others.

    Raises:
        RunError: `output` is itself a run.
    """
    if (output / METRICS).is_file():
        raise RunError(f"{output}: this is a run, and {folds} runs would lie within it; give another --output")
    make_folders(output)
    metrics = []
    for number in range(1, folds + 1):
        folder = output / f"fold-{number}"
        if resume and (folder / METRICS).is_file():
            metrics.append(json.loads((folder / METRICS).read_bytes()))
            continue
        recipe = read([f"data.folds={folds}", f"data.fold={number}"])
        metrics.append(train(recipe, folder))
    found = {"folds": folds} | {
        part: dict(_summary([each[part] for each in metrics])) for part in ("validation", "test")
    }
    write(output / FOLDS, (json.dumps(found, ensure_ascii=False, indent=2) + "\n").encode())
    return found


def _summary(scores: Sequence[Mapping[str, Any] | None]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each score's mean, standard deviation and values; a class that a run did not see has no value there."""
    names = dict.fromkeys(name for each in scores if each for name, value in each.items() if isinstance(value, float))
    for name in names:
        values = [each[name] for each in scores if each and name in each]
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        yield name, {"mean": statistics.fmean(values), "standard_deviation": deviation, "values": values}
