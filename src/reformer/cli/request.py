"""Request of a prediction: everything that its answers depend on, to compare when it is gone on with."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reformer.cli.files import MODEL
from reformer.errors import ReformerError

if TYPE_CHECKING:
    from reformer.tasks.predict_options import PredictOptions

NOT_READ = frozenset({"metrics.json", "report.html", "README.md", ".reformer-run.json"})
"""Files of a run that no prediction depends on."""


def request_of(
    run: Path, inputs: Iterable[str], options: "PredictOptions", others: Mapping[str, Any], *, resume: bool
) -> dict[str, Any]:
    """The digests of the run's files and of the inputs, and the options, each under the name that a message gives it.

    Args:
        others: options of the command beside those of the task.
        resume: whether it will be compared: what can be read once only is then refused.
    """
    inputs = list(inputs)
    request: dict[str, Any] = {"the list of inputs": inputs}
    for option in fields(options):
        value = getattr(options, option.name)
        if value is not None:
            request[f"--{option.name.replace('_', '-')}"] = (
                value if isinstance(value, str | int | float) else str(value)
            )
    request |= {name: value for name, value in others.items() if value}
    for name in MODEL:
        if (run / name).is_file() and name not in NOT_READ:
            request[f"{name} of the model"] = _digest([run / name])
    for name in dict.fromkeys(inputs):
        digest = _digest_of_input(name)
        if digest is None and resume:
            raise ReformerError(f"{name}: what is read from a pipe or a device cannot be gone on with; give a file")
        request[f"the input {name}"] = digest
    return request


def _digest_of_input(name: str) -> str | None:
    """The digest of a file, or of all files in a folder with their names; None where there is none to read twice."""
    from reformer.data.remote import is_url, url_state
    from reformer.data.standard_input import STANDARD_INPUT, open_standard_input

    if is_url(name):
        return url_state(name)

    if name == STANDARD_INPUT:
        with open_standard_input() as stream:
            total = hashlib.sha256()
            while data := stream.read(1 << 20):
                total.update(data)
            return total.hexdigest()
    path = Path(name)
    if path.is_dir():
        return _digest(_files_in(path))
    # What is missing is told of by the reader.
    return _digest([path]) if path.is_file() or not path.exists() else None


def _files_in(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders.sort()
        yield from (Path(place, name) for name in sorted(files) if Path(place, name).is_file())


def _digest(files: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for file in files:
        total.update(os.fsencode(file.name) + b"\0")
        if file.is_file():
            with file.open("rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()
