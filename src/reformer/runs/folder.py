"""Files of a run folder: names, checks, writes."""

import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json
from transformers import PreTrainedModel

from reformer.errors import ReformerError, disk_error, reason_and_remedy
from reformer.files import (
    make_folders,
    move_into,
    remove_files,
    remove_if_empty,
    replace_file,
    unfinished_folder,
    write,
)
from reformer.finetuning import Adapter
from reformer.finetuning.adapter import ADAPTER, ADAPTER_CONFIG
from reformer.metrics.calibration import Calibration
from reformer.models.progress_bars import no_progress_bars
from reformer.recipe import Recipe
from reformer.runs.recipe_file import write_recipe
from reformer.tasks.base import Processor

RECIPE = "recipe.toml"
METRICS = "metrics.json"
CURVE = "learning_curve.png"
REPORT = "report.html"
CARD = "README.md"
CALIBRATION = "calibration.json"
CHECKPOINTS = "checkpoints"
LOGS = "logs"
START = "start"
WEIGHTS = "model.safetensors"
MARKER = ".reformer-run.json"
"""The file by which a run folder is known: the names that the run has written, where the former run is kept, and, while
the run itself is being moved aside for another, where to."""

CHECKPOINT_FILES = f"{CHECKPOINTS}/checkpoint-*/*"
CHECKPOINT_LEFTOVERS = (f"{CHECKPOINTS}/skipped-*/*", f"{CHECKPOINTS}/.unfinished/*/*")
"""Checkpoints that were damaged, or not whole when their run was killed."""

START_FILES = f"{START}/*"
LOG_FILES = f"{LOGS}/events.out.tfevents.*"
_BEGUN = (
    RECIPE,
    METRICS,
    CURVE,
    REPORT,
    CARD,
    CALIBRATION,
    CHECKPOINT_FILES,
    *CHECKPOINT_LEFTOVERS,
    START_FILES,
    LOG_FILES,
)

_CALIBRATION = TypeAdapter(Calibration)

_SAVED = (
    *(WEIGHTS, ADAPTER, "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"),
    *(ADAPTER_CONFIG, "special_tokens_map.json", "series.json"),
)
"""Files of a finished run; those of versions that kept no list can be no others."""


class RunError(ReformerError):
    """Run folder that is missing, incomplete, or in the way."""


def weights_file(folder: Path) -> str:
    """The name of the file in a run folder that has the weights: a whole model's, or an adapter's."""
    return ADAPTER if (folder / ADAPTER).is_file() else WEIGHTS


def check_whole(folder: Path, needed: Iterable[str]) -> None:
    """Raise `RunError` unless the folder has these files of a finished run."""
    if not folder.is_dir():
        raise RunError(f"{folder}: there is no such run folder; `reformer train RECIPE --output {folder}` makes one")
    missing = [name for name in needed if not (folder / name).is_file()]
    if not missing:
        return
    remedy = (
        "its training has not finished; go on with `reformer train RECIPE --resume`"
        if (folder / CHECKPOINTS).is_dir()
        else "give the folder that `reformer train` has written"
    )
    raise RunError(f"{folder}: this run folder is incomplete: it has no {', '.join(missing)}; {remedy}")


def save_model(model: PreTrainedModel | Adapter, processor: Processor | None, folder: Path) -> None:
    """Write model and processor into the folder, each file whole or not at all."""
    with unfinished_folder(folder / WEIGHTS) as fresh, no_progress_bars():
        with written_by_others(folder):
            model.save_pretrained(str(fresh))
            if processor is not None:
                processor.save_pretrained(str(fresh))
        # The weights come out readable by their owner alone; whoever may read the recipe may read them.
        shutil.copymode(folder / RECIPE, fresh / weights_file(fresh))
        files = sorted(fresh.iterdir())
        # Listed first: of a run that is killed here, too, every file can be removed again.
        _add_to_list(folder, (file.name for file in files))
        for file in files:
            replace_file(file, folder / file.name)


@contextmanager
def written_by_others(folder: Path) -> Iterator[None]:
    """Errors of the disk in what other libraries write, each with an error of its own, as `RunError`."""
    try:
        yield
    except Exception as error:
        of_disk = disk_error(error)
        if of_disk is None:
            raise
        reason, _ = reason_and_remedy(of_disk)
        raise RunError(
            f"{folder}: the model could not be written ({reason}); what was written before is kept; make room, and go "
            "on with --resume"
        ) from error


def write_metrics(metrics: Mapping[str, Any], folder: Path) -> None:
    """Write `metrics.json`, whole or not at all."""
    write(folder / METRICS, (json.dumps(metrics, ensure_ascii=False, indent=2) + "\n").encode())


def write_calibration(calibration: Calibration, folder: Path) -> None:
    """Write `calibration.json`, whole or not at all."""
    write(folder / CALIBRATION, (json.dumps(asdict(calibration), ensure_ascii=False, indent=2) + "\n").encode())


def read_calibration(folder: Path) -> Calibration:
    """What the run's probabilities are calibrated by; of a run without the file, nothing.

    Raises:
        RunError: the file is there, and cannot be read.
    """
    try:
        found = _CALIBRATION.validate_json((folder / CALIBRATION).read_bytes())
    except FileNotFoundError:
        return Calibration()
    except ValueError as error:
        raise RunError(f"{folder / CALIBRATION}: this cannot be read ({error}); train it again") from None
    given = [*([] if found.temperature is None else [found.temperature]), *found.thresholds.values()]
    if not all(math.isfinite(value) and value >= 0 for value in given) or found.temperature == 0:
        raise RunError(f"{folder / CALIBRATION}: a temperature or threshold is no positive number; train it again")
    return found


def check_output(folder: Path, recipe: Path | None = None) -> None:
    """Raise `RunError` if a new run in this folder would mix with what is not of a run.

    Args:
        recipe: the file of the recipe; its folder is the user's.
    """
    place = folder.resolve()
    here = Path.cwd()
    if place == here or place in here.parents:
        raise RunError(f"{folder}: this is the current folder or one around it; give the run an --output of its own")
    if recipe is not None and place in recipe.resolve().parents:
        raise RunError(
            f"{folder}: this is the folder of the recipe {recipe}; give the run an --output of its own, such as "
            f"{folder / 'run'}"
        )


def check_free(folder: Path, *, overwrite: bool, start: str | None = None, data: Iterable[str] = ()) -> None:
    """Raise `RunError` if a new run in this folder would destroy files that it may not overwrite, or read its own.

    Args:
        start: the folder of the model that the run starts from, if it is one.
        data: the files and folders that the run reads.
    """
    check_output(folder)
    for read in data:
        if Path(read).is_dir() and Path(read).resolve() in (folder.resolve(), *folder.resolve().parents):
            raise RunError(
                f"{folder}: this is in the folder {read}, all of which is read as data; give an --output outside of it"
            )
    if not folder.exists():
        return
    if not folder.is_dir():
        raise RunError(f"{folder}: this is a file; give another --output")
    if start is not None and Path(start).is_dir() and Path(start).samefile(folder):
        raise RunError(f"{folder}: the run starts from the model in this folder; give another --output")
    held = {entry.name for entry in folder.iterdir()}
    if not held:
        return
    written = _written_names(folder)
    # A run that ended before its first checkpoint has nothing to lose.
    begun_only = (folder / MARKER).is_file() and held <= {MARKER, RECIPE, LOGS, START, CHECKPOINTS}
    begun_only &= not any(folder.glob(f"{CHECKPOINTS}/*"))
    if not (begun_only or (overwrite and written)):
        remedy = (
            "take another --output, --resume to go on with an interrupted run, or --overwrite to replace a run"
            if written
            else "it is not known as the folder of a run, so nothing in it is replaced; take another --output"
        )
        raise RunError(f"{folder}: this exists already; {remedy}")
    others = [name for name in (*_top(_BEGUN), *_SAVED) if name in held - {MARKER, *_top(written)}]
    if others:
        raise RunError(
            f"{folder}: {', '.join(others)}: the run in this folder has not written this, and a new one would replace "
            "it; move it, or take another --output"
        )


def make_folder(folder: Path, recipe: Recipe) -> Path | None:
    """Make the folder, in which nothing of a former run is left; `check_free` has allowed it.

    Returns:
        The folder where the finished run that was here is kept until this one is whole; None without one.
    """
    make_folders(folder)
    written, kept = _written_names(folder), None
    if written and ((folder / METRICS).is_file() or any(folder.glob(CHECKPOINT_FILES))):
        # Written down first: a move that is cut short is gone on with by the next start.
        _write_marker(folder, written, _read_marker(folder).get("replaced"), moving=_free_name(folder))
        kept = end_move(folder)
    elif written:
        # The run that the one before had put aside is still the last whole one.
        kept = _replaced_by(folder, folder)
        remove_files(folder, written)
    _write_marker(folder, _BEGUN, None if kept is None else kept.name)
    write_recipe(recipe, folder / RECIPE)
    return kept


def end_move(folder: Path) -> Path | None:
    """Move the run in the folder aside, as far as its marker says that this has begun; returns where it is kept."""
    place = _beside(folder, _read_marker(folder).get("moving"))
    if place is None:
        return None
    written = _written_names(folder)
    make_folders(place)
    _write_marker(place, written, _read_marker(folder).get("replaced"))
    move_into(place, folder.resolve(), dict.fromkeys(name for name in _top(written) if name != MARKER))
    _write_marker(folder, _BEGUN, place.name)
    return place


def end_finished(folder: Path) -> dict[str, Any]:
    """Remove what a finished run has left that was ended before it had done so; returns its metrics.

    Raises:
        RunError: nothing was left, or the metrics cannot be read.
    """
    before = {path.name for path in folder.iterdir()}
    if before.isdisjoint({CHECKPOINTS, START}) and _read_marker(folder).get("replaced") is None:
        raise RunError(f"{folder}: this run is finished; there is nothing to resume")
    try:
        metrics = from_json((folder / METRICS).read_bytes())
    except ValueError as error:
        raise RunError(f"{folder / METRICS}: this cannot be read ({error}); begin again with --overwrite") from None
    remove_unneeded(folder)
    return metrics


def remove_unneeded(folder: Path) -> None:
    """Remove what only a resumed run would need, and the run that this one, which is whole now, has replaced: of that,
    the files that it has written, no others."""
    remove_files(folder, (CHECKPOINT_FILES, *CHECKPOINT_LEFTOVERS, START_FILES))
    former = [folder]
    # An interrupted run may itself have replaced another.
    while (before := _replaced_by(former[-1], folder)) is not None and before not in former:
        former.append(before)
    for run in reversed(former[1:]):
        remove_files(run, _written_names(run))
        # Last: until then it says where the one before is.
        remove_files(run, [MARKER])
        remove_if_empty(run)
    _write_marker(folder, _written_names(folder), None)


def _replaced_by(run: Path, folder: Path) -> Path | None:
    """The folder beside `folder` where the run that `run` has replaced is kept."""
    kept = _beside(folder, _read_marker(run).get("replaced"))
    return kept if kept is not None and kept.is_dir() and kept != run.resolve() else None


def _beside(folder: Path, name: Any) -> Path | None:
    """The folder of that name beside `folder`; None for a name that `_free_name` has not made."""
    if not isinstance(name, str) or Path(name).name != name or not name.startswith(f"{folder.resolve().name}.replaced"):
        return None
    place = folder.resolve().with_name(name)
    return None if place.is_symlink() else place


def _free_name(folder: Path) -> str:
    """A name beside `folder` for the run in it: NAME.replaced, or with a number."""
    place, number = folder.resolve(), 1
    name = f"{place.name}.replaced"
    while os.path.lexists(place.with_name(name)):
        number += 1
        name = f"{place.name}.replaced-{number}"
    return name


def _written_names(folder: Path) -> tuple[str, ...]:
    """The names and patterns of the files that the run in a folder has written; none if it is no run's."""
    if (folder / MARKER).is_file():
        written = _read_marker(folder).get("written")
        return tuple(name for name in written if isinstance(name, str)) if isinstance(written, list) else ()
    # Versions that kept no list left metrics, or were stopped with a checkpoint.
    finished = (folder / METRICS).is_file() and (folder / weights_file(folder)).is_file()
    stopped = any((folder / CHECKPOINTS).glob("checkpoint-*/trainer_state.json"))
    return (*_BEGUN, *_SAVED) if (folder / RECIPE).is_file() and (finished or stopped) else ()


def _top(names: Iterable[str]) -> list[str]:
    return [name.partition("/")[0] for name in names if name and name not in (".", "..")]


def _add_to_list(folder: Path, names: Iterable[str]) -> None:
    before = _written_names(folder) or _BEGUN
    _write_marker(folder, dict.fromkeys((*before, *names)), _read_marker(folder).get("replaced"))


def _read_marker(folder: Path) -> dict[str, Any]:
    try:
        marker = from_json((folder / MARKER).read_bytes())
    # No other error of the disk: the marker would be written anew without its list, and the run's files be no one's.
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError):
        return {}
    return marker if isinstance(marker, dict) else {}


def _write_marker(folder: Path, written: Iterable[str], replaced: str | None, *, moving: str | None = None) -> None:
    marker = {"written": list(written), "replaced": replaced} | ({"moving": moving} if moving else {})
    write(folder / MARKER, (json.dumps(marker, ensure_ascii=False, indent=2) + "\n").encode())
