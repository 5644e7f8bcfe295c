"""Publication of a run on the Hugging Face hub."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from reformer.errors import ReformerError
from reformer.finetuning.adapter import ADAPTER, ADAPTER_CONFIG
from reformer.models.configuration.remote_code import MODULE
from reformer.runs.folder import CALIBRATION, CARD, CURVE, METRICS, RECIPE, WEIGHTS, check_whole, weights_file
from reformer.runs.places import last_name, model_name
from reformer.runs.recipe_file import read_tables, tables_text

PLACES = (METRICS, ADAPTER_CONFIG, "config.json")
"""Files beside the recipe that name the model which the run began as, by the place it was at."""

PUBLISHED = (
    *(CARD, RECIPE, METRICS, CALIBRATION, CURVE, WEIGHTS, ADAPTER, ADAPTER_CONFIG),
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("series.json", f"{MODULE}.py"),
)
"""Files of a run that are published, where it has them. The report is not: it quotes texts of the data."""


@dataclass(frozen=True)
class Publication:
    """What is published, and what stays here.

    Args:
        name: of the repository.
        files: names and bytes.
        changed: what is published in the place of some of the files: the folders of this machine, which they name, are
            no business of others, and the last names of data and of models are left.
        kept: names of what else is in the folder.
    """

    name: str
    files: dict[str, int]
    changed: Mapping[str, bytes]
    kept: tuple[str, ...]


def publication(folder: Path, name: str) -> Publication:
    """What `push` would publish of a run.

    Raises:
        RunError: the run is not finished.
        RecipeError: its recipe cannot be read.
        ReformerError: the hub takes no such name.
    """
    check_whole(folder, ("config.json", weights_file(folder), RECIPE, METRICS))
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ReformerError(f"{name}: this is no name of a repository: {error}; expected such as USER/NAME") from None
    files = {each: (folder / each).stat().st_size for each in PUBLISHED if (folder / each).is_file()}
    changed = dict(_without_folders(folder, files))
    sizes = files | {each: len(data) for each, data in changed.items()}
    return Publication(name, sizes, changed, tuple(sorted(_others(folder, files))))


def push(folder: Path, name: str, *, private: bool = False) -> str:
    """Publish a finished run as one commit of a repository, which is made if it is not there; returns its address.

    Args:
        private: make a repository that others cannot see; one that is there stays as it is.

    Raises:
        RunError: the run is not finished.
        ReformerError: the hub cannot be reached, or does not let this user write there.
    """
    planned = publication(folder, name)
    api: Any = HfApi(library_name="reformer-torch")
    try:
        repository = api.create_repo(name, private=private, exist_ok=True)
        api.create_commit(
            repository.repo_id,
            [CommitOperationAdd(each, planned.changed.get(each, folder / each)) for each in planned.files],
            commit_message=f"Add the run {folder.resolve().name}",
        )
    # A missing network, token or right: of which class each is depends on the version of huggingface_hub.
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ReformerError(
            f"{name}: the run could not be published ({reason}); log in with `hf auth login`, and check the name and "
            "the network"
        ) from error
    return str(repository)


def _without_folders(folder: Path, files: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Those of the files that name places of this machine, as they are published."""
    tables = read_tables(folder / RECIPE)
    names = _last_names(tables)
    changed = _renamed(tables, names)
    if changed != tables:
        yield RECIPE, tables_text(changed).encode()
    for file in PLACES:
        if file in files:
            told = json.loads((folder / file).read_bytes())
            changed = _renamed(told, names)
            if changed != told:
                yield file, (json.dumps(changed, ensure_ascii=False, indent=2) + "\n").encode()


def _last_names(tables: Mapping[str, Any]) -> dict[str, str]:
    """The places that a recipe names, each with its last name, where that is another one."""
    data = tables.get("data", {})
    names = {data[part]: last_name(data[part]) for part in ("train", "validation", "test") if part in data}
    models = tables.get("finetune", {}).get("start_from"), tables.get("tokenizer", {}).get("kind")
    names |= {place: model_name(place) for place in models if place is not None}
    return {place: name for place, name in names.items() if name != place}


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Tables, lists and texts, each text that is a key of `names` replaced by what stands there."""
    if isinstance(value, dict):
        return {key: _renamed(each, names) for key, each in value.items()}
    if isinstance(value, list):
        return [_renamed(each, names) for each in value]
    return names.get(value, value) if isinstance(value, str) else value


def _others(folder: Path, files: dict[str, int]) -> Iterator[str]:
    return (entry.name for entry in folder.iterdir() if entry.name not in files)
