"""Predictions for the records of files: each is told from the others by the key of its record."""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from reformer.data import DataError
from reformer.data.errors import OnError
from reformer.data.notes import DataWarning
from reformer.data.origin import Key, Origin
from reformer.errors import ReformerError
from reformer.wording import counted


@dataclass(frozen=True, slots=True)
class Prediction:
    """Prediction for one record: an object for JSON, and the key of what it is for."""

    key: Key
    fields: dict[str, Any]
    size: int = 1
    """Characters of the text that it is to, or 1 for what is no text."""


def is_after(record: Any, key: Key | None) -> bool:
    """Whether the record of a file stands behind the one with this key; None: every record does."""
    return key is None or record.origin.key > key


def prediction(record: Any, **fields: Any) -> Prediction:
    """The prediction for a record of a file: its id, its file where there are several, these fields, and the others of
    the record that are kept; one of these that has the name of a field of the answer is called `input_NAME`.

    Raises:
        ReformerError: that is the name of another one.
    """
    file = {} if record.origin.file is None else {"file": record.origin.file}
    answer = {"id": record.id, **file, **fields}
    others = record.others or {}
    for name, value in others.items():
        kept = f"input_{name}" if name in answer else name
        if kept in answer or (kept != name and kept in others):
            raise ReformerError(
                f"{record.source}: the column {name!r} has the name of a field of the answer, and {kept!r} is there, "
                "too; rename one of the two"
            )
        answer[kept] = value
    return Prediction(record.origin.key, answer, size_of(record))


def size_of(record: Any) -> int:
    """Characters of a record's text, or 1 for what is no text."""
    return len(getattr(record, "text", "")) or 1


def can_be_read_twice(source: str) -> bool:
    """Whether a source is a file, a folder or a data set, and no pipe or device."""
    return source.startswith("index:") or os.path.isfile(source) or os.path.isdir(source)


MOST_IDS = 1 << 20
"""Ids that are kept to find those that recur, at most."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One of the files that were given, with what its records are told of the others."""

    path: str
    place: int
    is_alone: bool
    has_namesake: bool
    """Whether another one has its name, in another folder."""


def input_files(files: Iterable[str]) -> list[InputFile]:
    """All files that were given, in their order."""
    files = list(files)
    names = Counter(map(os.path.basename, files))
    return [
        InputFile(file, place, len(files) == 1, names[os.path.basename(file)] > 1) for place, file in enumerate(files)
    ]


def _path(file: str | InputFile) -> str:
    return file.path if isinstance(file, InputFile) else file


def read_files(
    files: Iterable[str | InputFile],
    read: Callable[[str], Iterable[Any]],
    on_error: OnError,
    *,
    keeps_others: bool = False,
) -> Iterator[Any]:
    """The records of all files; a file that cannot be read as a whole is reported like a record.

    Each record gets its `Origin`. Of files with one name in several folders, the path as given stands in the ids of
    their records. Records whose ids recur in one file are counted in a `DataWarning`.

    Args:
        files: all that were given, or some `InputFile`s of them.
    """
    files = list(files)
    of_all = input_files(map(_path, files))
    for each in (given if isinstance(given, InputFile) else of_all[place] for place, given in enumerate(files)):
        file, name = each.path, os.path.basename(each.path)
        seen: set[str] = set()
        first, repeated = "", 0
        try:
            for number, record in enumerate(read(file)):
                if keeps_others and record.others is None:
                    problem = "what is read here has no other columns or fields"
                    raise DataError(file, None, problem, "leave out --keep-columns, or give a table or JSONL")
                identity = record.id
                if each.has_namesake and identity.startswith(name):
                    identity = f"{file}{identity.removeprefix(name)}"
                if identity in seen:
                    first, repeated = first or identity, repeated + 1
                elif len(seen) < MOST_IDS:
                    seen.add(identity)
                origin = Origin((each.place, number), None if each.is_alone else file)
                yield replace(record, id=identity, origin=origin)
        except DataError as error:
            on_error(error)
        if repeated:
            message = f"{file}: {counted(repeated, 'record', 'have')} the id of one before them, such as {first!r}"
            warnings.warn(f"{message}; their answers can only be told by their order", DataWarning, stacklevel=2)
