"""State of an interrupted run in its folder: the checkpoint, and the pretrained start with the changes to it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from rich.console import Console
from transformers import PreTrainedConfig

from reformer.files import new_folder, remove_leftovers, write
from reformer.models import ReformerConfig
from reformer.recipe import HOLD_OUT, Recipe
from reformer.runs.folder import CHECKPOINTS, MARKER, RECIPE, START, RunError, written_by_others
from reformer.runs.recipe_file import read_begun_recipe
from reformer.tasks.base import Processor, TaskData
from reformer.tasks.model_setup import PretrainedStart
from reformer.terminal import say
from reformer.training.checkpoints import newest_whole, set_aside
from reformer.training.model_changes import ModelChanges
from reformer.training.precision import with_precision
from reformer.training.run_inputs import INPUTS, changed_inputs, input_digests, keep_inputs, kept_inputs

CHANGES = "changes.json"


@dataclass(frozen=True, slots=True)
class ResumedRun:
    """Interrupted run in its folder: the checkpoint to go on from, and the newer ones that are damaged."""

    checkpoint: str | None
    """None if the run ended before its first one: it goes on from the beginning."""
    skipped: Mapping[Path, str]
    """Why each newer checkpoint was skipped."""

    def in_words(self, folder: Path) -> list[str]:
        """A line for each checkpoint that was skipped, and one for a run that begins again."""
        lines = [f"{place}: this checkpoint is skipped: {reason}" for place, reason in self.skipped.items()]
        if self.checkpoint is None:
            return [f"{folder}: this run ended before its first checkpoint; it goes on from the beginning"]
        return [*lines, f"going on from {self.checkpoint}"] if lines else []

    def set_skipped_aside(self) -> None:
        """Rename the skipped checkpoints, so that those to come are newer than all that count."""
        for place in self.skipped:
            set_aside(place)


def kept_start(place: str, folder: Path) -> PretrainedStart:
    """The start that `keep_start` has kept in a folder; the pretrained model at `place` is not read again.

    Raises:
        RunError: the configuration there is damaged.
    """
    try:
        config = ReformerConfig.from_pretrained(folder, local_files_only=True)
    # transformers has many errors for a broken file, of no common kind.
    except Exception as error:
        raise RunError(
            f"{folder / 'config.json'}: this cannot be read: {error}; begin again with --overwrite"
        ) from None
    return PretrainedStart(place, str(folder), config, None)


def keep_start(folder: Path, config: PreTrainedConfig, processor: Processor | None, changes: ModelChanges) -> None:
    """Keep configuration, processor and changes for a resumed run, which cannot tell them from its checkpoint."""
    with written_by_others(folder), new_folder(folder) as fresh:
        config.save_pretrained(fresh)
        if processor is not None:
            processor.save_pretrained(fresh)
        write(fresh / CHANGES, json.dumps(changes.to_json(), ensure_ascii=False).encode())


def kept_changes(place: str, folder: Path) -> ModelChanges:
    """The changes that `keep_start` has kept in a folder, to the pretrained model at `place`.

    Raises:
        RunError: the file is damaged.
    """
    try:
        return ModelChanges.from_json(from_json((folder / CHANGES).read_bytes()), place)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RunError(f"{folder / CHANGES}: this cannot be read: {error}; begin again with --overwrite") from None


def check_begun(folder: Path) -> None:
    """Raise `RunError` unless a run has begun in the folder.

    A run that was killed before its first file has left an empty folder.
    """
    remove_leftovers(folder)
    begun = (folder / RECIPE).is_file() or (folder / MARKER).is_file()
    if not begun and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder}: there is no checkpoint to resume from, nor a run; train without --resume")


def find_run(folder: Path, recipe: Recipe) -> tuple[ResumedRun, Recipe]:
    """The interrupted run that this recipe has begun in the folder, and the recipe as that run took it.

    Precision "auto" becomes the precision that was chosen when the run began, on whatever machine it is resumed, and
    records are held out as they were then.

    Raises:
        RunError: there is none, none of its checkpoints is whole, or the recipe was another.
    """
    check_begun(folder)
    begun = read_begun_recipe(folder / RECIPE)
    recipe = with_hold_out_of(recipe, begun)
    if recipe.training.precision == "auto":
        recipe = with_precision(recipe, begun.training.precision)
    if begun != recipe:
        changed = ", ".join(_differences(begun.model_dump(), recipe.model_dump()))
        raise RunError(
            f"{folder}: this run was begun with another recipe ({changed}); resume it with the same one, or take "
            "another --output"
        )
    newest, skipped = newest_whole(folder / CHECKPOINTS)
    if newest is None and skipped:
        reasons = "; ".join(f"{place.name}: {reason}" for place, reason in skipped.items())
        raise RunError(f"{folder}: no checkpoint is whole ({reasons}); begin again with --overwrite")
    return ResumedRun(None if newest is None else str(newest), skipped), recipe


def go_on(
    resumed: ResumedRun, recipe: Recipe, data: TaskData, folder: Path, console: Console, *, accept_changed_data: bool
) -> None:
    """Say what a resumed run goes on from, and compare its data and tokenizer with those that it began with.

    Raises:
        RunError: they have changed, which was not accepted.
    """
    if resumed.checkpoint is not None:
        before, now = kept_inputs(folder), input_digests(recipe, data, folder)
        changed = [] if before is None else changed_inputs(before, now)
        if changed and not accept_changed_data:
            raise RunError(
                f"{folder}: changed since this run began: {', '.join(changed)}; put back what was there, or go on "
                "with the change by --accept-changed-data"
            )
        if before is None:
            told = f"{folder}: data and tokenizer cannot be compared with those that this run began with"
            say(console, f"{told}: it has no readable {START}/{INPUTS}")
        elif changed:
            say(console, f"{folder}: going on, as accepted, with changed {', '.join(changed)}")
            keep_inputs(now, folder)
    for line in resumed.in_words(folder):
        say(console, line)
    resumed.set_skipped_aside()


def with_hold_out_of(recipe: Recipe, begun: Recipe) -> Recipe:
    """The recipe with records held out as in the run that was begun, unless it says how itself."""
    how = getattr(begun.data, HOLD_OUT, None)
    if how is None or HOLD_OUT in recipe.data.model_fields_set or HOLD_OUT not in type(recipe.data).model_fields:
        return recipe
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={HOLD_OUT: how})})


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"{table}.{field} was {before[table].get(field)!r} and is {now[table].get(field)!r}"
        for table in before
        for field in sorted({*before[table], *now[table]})
        if before[table].get(field) != now[table].get(field)
    ]
