"""The folder that a run leaves: model, tokenizer, recipe, metrics, learning curve."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.trainer_utils import get_last_checkpoint

from reformer.errors import ReformerError
from reformer.finetuning import Adapter, load_pretrained
from reformer.finetuning.adapter import ADAPTER
from reformer.models.quiet import no_progress_bars
from reformer.training.material import Processor, Task
from reformer.training.precision import with_precision
from reformer.training.recipe import Recipe
from reformer.training.recipe_file import read_recipe, write_recipe
from reformer.training.tasks import TASKS

RECIPE = "recipe.toml"
METRICS = "metrics.json"
CURVE = "learning_curve.png"
CHECKPOINTS = "checkpoints"
LOGS = "logs"
START = "start"
WEIGHTS = "model.safetensors"
AnyTask = TypeVar("AnyTask", bound=Task, covariant=True)


class RunError(ReformerError):
    """A run folder that is not there, not whole, or in the way."""


@dataclass(frozen=True)
class Run(Generic[AnyTask]):
    """A trained model with everything needed to use it."""

    folder: Path
    recipe: Recipe
    task: AnyTask
    model: PreTrainedModel
    processor: Any
    """What reads files for the model, such as its tokenizer; None where it needs nothing but its configuration."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The processor of a model of texts."""
        assert isinstance(self.processor, PreTrainedTokenizerFast)
        return self.processor

    @property
    def labels(self) -> list[str]:
        """The labels in the order of the model's outputs."""
        # transformers makes the keys whole numbers when it reads config.json.
        names: Any = self.model.config.id2label
        return [names[index] for index in range(len(names))]


@overload
def load_run(folder: str | Path) -> Run[Task]: ...
@overload
def load_run(folder: str | Path, kind: type[AnyTask]) -> Run[AnyTask]: ...
def load_run(folder: str | Path, kind: type[Task] = Task) -> Run[Task]:
    """Load a run folder, the model ready to use.

    Args:
        folder: what `train` has written.
        kind: what the run must have learned: documents (`DocumentTask`) or language (`LanguageModelling`).

    Raises:
        RunError: there is no such folder, it has learned another task, or what it lacks or has broken, and what to
            do about it.
        FinetuningError: it holds an adapter, and the model that this belongs to cannot be had.
    """
    folder = Path(folder)
    check_whole(folder, ("config.json", weights_file(folder), RECIPE))
    recipe = read_recipe(folder / RECIPE)
    task = TASKS[recipe.training.task]
    if task.processor_file is not None:
        check_whole(folder, (task.processor_file,))
    if not isinstance(task, kind):
        fitting = " or ".join(name for name, other in TASKS.items() if isinstance(other, kind))
        raise RunError(f"{folder}: this run has learned {recipe.training.task}; give one that has learned {fitting}")
    if weights_file(folder) == ADAPTER:
        return Run(folder, recipe, task, load_pretrained(str(folder)), task.load_processor(folder))
    try:
        with no_progress_bars():
            model = task.head.from_pretrained(folder, local_files_only=True)
    # Truncated weights, a config of another class, JSON cut short: each means that the folder was damaged.
    except Exception as error:
        raise RunError(f"{folder}: its model cannot be loaded: {error}; train it again") from error
    return Run(folder, recipe, task, model.eval(), task.load_processor(folder))


def weights_file(folder: Path) -> str:
    """The name of the file in a run folder that holds what was learned: a whole model's, or an adapter's."""
    return ADAPTER if (folder / ADAPTER).is_file() else WEIGHTS


def check_whole(folder: Path, needed: Iterable[str]) -> None:
    """Raise `RunError` unless the folder holds these of what a finished run leaves."""
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
    """Put model and processor into the folder, each file whole or not at all."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as fresh, no_progress_bars():
        model.save_pretrained(fresh)
        if processor is not None:
            processor.save_pretrained(fresh)
        # The weights come out readable by their owner alone; whoever may read the recipe may read them.
        shutil.copymode(folder / RECIPE, Path(fresh) / weights_file(Path(fresh)))
        for file in sorted(Path(fresh).iterdir()):
            os.replace(file, folder / file.name)


def write_metrics(metrics: Mapping[str, Any], folder: Path) -> None:
    """Write `metrics.json`, whole or not at all."""
    fresh = folder / f".{METRICS}"
    fresh.write_text(json.dumps(metrics, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    os.replace(fresh, folder / METRICS)


def check_free(folder: Path, *, overwrite: bool) -> None:
    """Raise `RunError` if a new run in this folder would destroy something that was not said to be replaced."""
    if not folder.exists():
        return
    held = {entry.name for entry in folder.iterdir()} if folder.is_dir() else {folder.name}
    # An attempt that ended before its first checkpoint holds nothing to lose.
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
