"""Digests of what a run reads, by which a resumed run finds that it has changed."""

import hashlib
import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from transformers import PreTrainedTokenizerFast

from reformer.data.index import DATA_SETS
from reformer.data.readers import read_images
from reformer.files import make_folders, write
from reformer.recipe import FROM_START, Recipe
from reformer.runs.folder import RECIPE, START
from reformer.tasks.base import TaskData
from reformer.tasks.images.task import ImageTask
from reformer.tasks.registry import TASKS
from reformer.training.checkpoints import file_digest

INPUTS = "inputs.json"
_DIGESTS = TypeAdapter(dict[str, str])


def input_digests(recipe: Recipe, data: TaskData, folder: Path) -> dict[str, str]:
    """A digest for each thing that the run reads, by the name under which a message can say that it has changed.

    Files and folders of the recipe count by their content, a data set of the index by its version, the tokenizer by
    its files and by its vocabulary, which data may decide.
    """
    task = TASKS[recipe.training.task]
    digests = {RECIPE: file_digest(folder / RECIPE)}
    for part in ("train", "validation", "test"):
        path = getattr(recipe.data, part)
        if path is not None:
            images = isinstance(task, ImageTask)
            digests[f"data.{part} = {path}"] = _pixels(path, task, recipe) if images else _content(Path(path))
    if recipe.data.source is not None:
        digests[f"data.source = {recipe.data.source}"] = _version(recipe.data.source)
    kind = recipe.tokenizer.kind
    if kind not in ("character", "byte", FROM_START) and Path(kind).exists():
        digests[f"tokenizer.kind = {kind}"] = _content(Path(kind), "*.json")
    if isinstance(data.processor, PreTrainedTokenizerFast):
        vocabulary = sorted(data.processor.get_vocab().items())
        digests["the tokenizer's vocabulary"] = hashlib.sha256(json.dumps(vocabulary).encode()).hexdigest()
    return digests


def keep_inputs(digests: Mapping[str, str], folder: Path) -> None:
    """Write the digests into the run's folder."""
    make_folders(folder / START)
    write(folder / START / INPUTS, (json.dumps(digests, ensure_ascii=False, indent=2) + "\n").encode())


def kept_inputs(folder: Path) -> dict[str, str] | None:
    """The digests that `keep_inputs` has written; None if there are none, or none that can be read."""
    try:
        return _DIGESTS.validate_json((folder / START / INPUTS).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def changed_inputs(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The names of what has changed."""
    return [name for name in {**before, **now} if before.get(name) != now.get(name)]


def _content(path: Path, pattern: str = "**/*") -> str:
    """The digest of a file, or of the files of a folder and their names."""
    if not path.is_dir():
        return file_digest(path)
    files = (file.relative_to(path) for file in path.glob(pattern) if file.is_file())
    # Hidden files are not read as data: a file manager may write them at any time.
    seen = sorted(file for file in files if not any(part.startswith(".") for part in file.parts))
    listed = [[file.as_posix(), file_digest(path / file)] for file in seen]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def _pixels(path: str, task: ImageTask, recipe: Any) -> str:
    """The digest of the images and labels that a file has or names."""
    digest = hashlib.sha256()
    for image in read_images(path, label_column=recipe.data.label_column or task.column):
        digest.update(f"{image.pixels.shape} {image.label}\n".encode())
        digest.update(image.pixels.tobytes())
    return digest.hexdigest()


def _version(source: str) -> str:
    """The version of a data set: of its archive, or of the package that it comes with."""
    entry = DATA_SETS[source.removeprefix("index:")]
    while entry.made_of is not None:
        entry = DATA_SETS[entry.made_of]
    return f"scikit-learn {metadata.version('scikit-learn')}" if entry.archive is None else entry.archive.sha256
