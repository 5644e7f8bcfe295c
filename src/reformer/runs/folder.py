"""Files of a run folder: names, checks, writes."""

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from reformer.errors import ReformerError
from reformer.files import replace_file, replaced
from reformer.finetuning import Adapter
from reformer.finetuning.adapter import ADAPTER
from reformer.models.progress_bars import no_progress_bars
from reformer.recipe import Recipe
from reformer.runs.recipe_file import write_recipe
from reformer.tasks.base import Processor

RECIPE = "recipe.toml"
METRICS = "metrics.json"
CURVE = "learning_curve.png"
CHECKPOINTS = "checkpoints"
LOGS = "logs"
START = "start"
WEIGHTS = "model.safetensors"


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
    with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as fresh, no_progress_bars():
        model.save_pretrained(fresh)
        if processor is not None:
            processor.save_pretrained(fresh)
        # The weights come out readable by their owner alone; whoever may read the recipe may read them.
        shutil.copymode(folder / RECIPE, Path(fresh) / weights_file(Path(fresh)))
        for file in sorted(Path(fresh).iterdir()):
            replace_file(file, folder / file.name)


def write_metrics(metrics: Mapping[str, Any], folder: Path) -> None:
    """Write `metrics.json`, whole or not at all."""
    with replaced(folder / METRICS) as file:
        file.write((json.dumps(metrics, ensure_ascii=False, indent=2) + "\n").encode())


def check_free(folder: Path, *, overwrite: bool) -> None:
    """Raise `RunError` if a new run in this folder would destroy files that it may not overwrite."""
    if not folder.exists():
        return
    held = {entry.name for entry in folder.iterdir()} if folder.is_dir() else {folder.name}
    # A run that ended before its first checkpoint has nothing to lose.
    begun_only = held <= {RECIPE, LOGS, START}
    replaceable = overwrite and RECIPE in held
    if not (begun_only or replaceable):
        raise RunError(
            f"{folder}: this exists already; take another --output, --resume to go on with an interrupted run, or "
            "--overwrite to replace a run"
        )


def make_folder(folder: Path, recipe: Recipe) -> None:
    """Make the folder, empty but for the recipe; `check_free` has allowed it."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    write_recipe(recipe, folder / RECIPE)
