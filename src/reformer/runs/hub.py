"""Publication of a run on the Hugging Face hub."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from reformer.errors import ReformerError
from reformer.finetuning.adapter import ADAPTER, ADAPTER_CONFIG
from reformer.models.configuration.remote_code import MODULE
from reformer.runs.folder import CALIBRATION, CARD, CURVE, METRICS, RECIPE, WEIGHTS, check_whole, weights_file

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
        kept: names of what else is in the folder.
    """

    name: str
    files: dict[str, int]
    kept: tuple[str, ...]


def publication(folder: Path, name: str) -> Publication:
    """What `push` would publish of a run.

    Raises:
        RunError: the run is not finished.
        ReformerError: the hub takes no such name.
    """
    check_whole(folder, ("config.json", weights_file(folder), RECIPE, METRICS))
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ReformerError(f"{name}: this is no name of a repository: {error}; expected such as USER/NAME") from None
    files = {each: (folder / each).stat().st_size for each in PUBLISHED if (folder / each).is_file()}
    return Publication(name, files, tuple(sorted(_others(folder, files))))


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
        api.upload_folder(
            folder_path=folder,
            repo_id=repository.repo_id,
            allow_patterns=list(planned.files),
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


def _others(folder: Path, files: dict[str, int]) -> Iterator[str]:
    return (entry.name for entry in folder.iterdir() if entry.name not in files)
