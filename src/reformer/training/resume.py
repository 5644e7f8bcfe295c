"""State of an interrupted run in its folder: the checkpoint, and the pretrained start with the changes to it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig
from transformers.trainer_utils import get_last_checkpoint

from reformer.files import new_folder, write
from reformer.models import ReformerConfig
from reformer.recipe import Recipe
from reformer.runs.folder import CHECKPOINTS, METRICS, RECIPE, RunError
from reformer.runs.recipe_file import read_recipe
from reformer.tasks.base import Processor
from reformer.tasks.model_setup import PretrainedStart
from reformer.training.model_changes import ModelChanges
from reformer.training.precision import with_precision

CHANGES = "changes.json"


def kept_start(place: str, folder: Path) -> PretrainedStart:
    """The start that `keep_start` has kept in a folder; the pretrained model at `place` is not read again."""
    return PretrainedStart(place, str(folder), ReformerConfig.from_pretrained(folder), None)


def keep_start(folder: Path, config: PreTrainedConfig, processor: Processor | None, changes: ModelChanges) -> None:
    """Keep configuration, processor and changes for a resumed run, which cannot tell them from its checkpoint."""
    with new_folder(folder) as fresh:
        config.save_pretrained(fresh)
        if processor is not None:
            processor.save_pretrained(fresh)
        write(fresh / CHANGES, json.dumps(changes.to_json(), ensure_ascii=False).encode())


def kept_changes(place: str, folder: Path) -> ModelChanges:
    """The changes that `keep_start` has kept in a folder, to the pretrained model at `place`."""
    return ModelChanges.from_json(json.loads((folder / CHANGES).read_text(encoding="utf-8")), place)


def find_checkpoint(folder: Path, recipe: Recipe) -> tuple[str, Recipe]:
    """The last checkpoint of the run that this recipe has begun in the folder, and the recipe as that run took it.

    Precision "auto" becomes the precision that was chosen when the run began, on whatever machine it is resumed.

    Raises:
        RunError: the run is finished, there is no checkpoint, or the recipe was another.
    """
    if (folder / METRICS).is_file():
        raise RunError(f"{folder}: this run is finished; there is nothing to resume")
    checkpoints = folder / CHECKPOINTS
    last = get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None
    if last is None or not (folder / RECIPE).is_file():
        raise RunError(f"{folder}: there is no checkpoint to resume from; train without --resume")
    begun = read_recipe(folder / RECIPE)
    if recipe.training.precision == "auto":
        recipe = with_precision(recipe, begun.training.precision)
    if begun != recipe:
        changed = ", ".join(_differences(begun.model_dump(), recipe.model_dump()))
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
