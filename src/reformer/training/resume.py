"""What a resumed run finds in its folder: checkpoint, pretrained start and its changes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers.trainer_utils import get_last_checkpoint

from reformer.models import ReformerConfig
from reformer.recipe import Recipe
from reformer.runs.folder import CHECKPOINTS, METRICS, RECIPE, RunError
from reformer.runs.recipe_file import read_recipe
from reformer.tasks.model_setup import PretrainedStart
from reformer.training.precision import with_precision

CHANGES = "changes.json"


def kept_start(place: str, folder: Path) -> PretrainedStart:
    """What `keep_start` has kept there; the trained model is not read again."""
    return PretrainedStart(place, str(folder), ReformerConfig.from_pretrained(folder), None)


def keep_start(folder: Path, config: ReformerConfig, processor: Any, changes: Mapping[str, Any]) -> None:
    """Keep what a resumed run needs beside its checkpoint, and what was changed for `metrics.json`."""
    folder.mkdir()
    config.save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    (folder / CHANGES).write_text(json.dumps(changes, ensure_ascii=False), encoding="utf-8")


def kept_changes(folder: Path) -> Any:
    """What was changed when the run began."""
    return json.loads((folder / CHANGES).read_text(encoding="utf-8"))


def find_checkpoint(folder: Path, recipe: Recipe) -> tuple[str, Recipe]:
    """The last checkpoint of the run that this recipe has begun in the folder, and the recipe as that run took it: in
    the precision that was chosen then, wherever it is resumed.

    Raises:
        RunError: the run is finished, there is no checkpoint, or the recipe was another.
    """
    if (folder / METRICS).is_file():
        raise RunError(f"{folder}: this run is finished; there is nothing to resume")
    checkpoints = folder / CHECKPOINTS
    last = get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None
    if last is None or not (folder / RECIPE).is_file():
        raise RunError(f"{folder}: there is no checkpoint to resume from; train without --resume")
    before = read_recipe(folder / RECIPE)
    if recipe.training.precision == "auto":
        recipe = with_precision(recipe, before.training.precision)
    if before != recipe:
        changed = ", ".join(_differences(before.model_dump(), recipe.model_dump()))
        raise RunError(
            f"{folder}: this run was begun with another recipe ({changed}); resume it with the same one, or take "
            "another --output"
        )
    return last, recipe


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"{table}.{field} was {before[table].get(field)!r} and is {now[table].get(field)!r}"
        for table in before
        for field in sorted({*before[table], *now[table]})
        if before[table].get(field) != now[table].get(field)
    ]
