"""Conversion of files of labelled documents from one format to another, checked by reading back what was written."""

import gzip
import hashlib
import json
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from reformer.data.documents import Document
from reformer.data.errors import DataError, OnError
from reformer.data.formats._brat import brat
from reformer.data.formats.writers import BRAT, WRITTEN, write_documents
from reformer.data.notes import DataWarning
from reformer.data.readers._documents import FORMATS, file_format, read_documents
from reformer.data.spans import SpanReading
from reformer.errors import ReformerError
from reformer.files import new_folder, replace_file, replaced, unfinished_folder, write
from reformer.wording import counted

_SUFFIXES = {".bioes": "bioes", ".iobes": "bioes", ".bmes": "bmes", ".biluo": "biluo", ".bilou": "biluo"}


@dataclass(frozen=True)
class Converted:
    """Numbers of what was written."""

    documents: int
    spans: int


class _Seen(NamedTuple):
    """A document in a few bytes, to be compared with what is read back; without an id that the reader made."""

    content: bytes
    id: bytes
    classes: bytes
    source: str
    spans: int


def convert(
    source: str,
    output: Path,
    *,
    write_as: str | None = None,
    overwrite: bool = False,
    on_error: OnError,
    **reading: Any,
) -> Converted:
    """Write the documents of a file as another format; those that it cannot hold go to `on_error`.

    What was written is read back: a text or a span that would be another is an error, and nothing is left. Ids, classes
    and fields that the format has no place for are told of.

    Args:
        reading: how the file is read, by the options of `read_documents`.

    Raises:
        ReformerError: the format cannot be written, or would not give the documents back.
    """
    format, seen = _format(output, write_as), list[_Seen]()
    documents = read_documents(source, tells_others=True, on_error=on_error, **reading)
    documents = _remembered(documents, os.path.basename(source), seen)

    def refuse(error: DataError) -> None:
        # It is the document that was remembered last.
        seen.pop()
        on_error(error)

    if format == BRAT:
        if os.path.lexists(output):
            raise ReformerError(f"{output}: this exists already, and brat's folder is to be new; take another name")
        with new_folder(output) as folder:
            _write_brat(folder, documents, seen, refuse)
            _compare(output, folder, format, seen)
    else:
        with unfinished_folder(output) as folder:
            place = folder / output.name
            with replaced(place) as file, _packed(file, output) as stream:
                for piece in write_documents(documents, format, refuse):
                    stream.write(piece.encode())
            _compare(output, place, format, seen)
            replace_file(place, output, overwrite=overwrite)
    return Converted(len(seen), sum(each.spans for each in seen))


def _format(output: Path, given: str | None) -> str:
    name = output.name.lower().removesuffix(".gz")
    format = given or next((each for suffix, each in _SUFFIXES.items() if name.endswith(suffix)), None)
    # A .json may be of several formats.
    if format is None and "." in name and not name.endswith(".json"):
        format = file_format(name)
    if format == BRAT and "." in name:
        raise ReformerError(f"{output}: brat has two files for a document; name a folder for them, with --to brat")
    if format not in WRITTEN:
        raise ReformerError(f"{output}: nothing tells the format to write; give --to, one of {', '.join(WRITTEN)}")
    return format


@contextmanager
def _packed(file: IO[bytes], output: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    if not output.name.lower().endswith(".gz"):
        yield file
        return
    # Without name and time, so that the same documents are the same file.
    with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as stream:
        yield stream


def _remembered(documents: Iterable[Document], file: str, seen: list[_Seen]) -> Iterator[Document]:
    for document in documents:
        # Spans at one place have no order of their own.
        marks = sorted((span.start, span.end, span.label) for span in document.spans or ())
        content = json.dumps([document.text, document.spans is None, marks])
        identity = "" if document.id.startswith(f"{file}:") else document.id
        # One class is the same as a list of one.
        classes = json.dumps(sorted(document.classes or ()))
        seen.append(_Seen(_digest(content), _digest(identity), _digest(classes), document.source, len(marks)))
        yield document


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _write_brat(folder: Path, documents: Iterable[Document], seen: list[_Seen], refuse: OnError) -> None:
    for document in documents:
        try:
            text, entities = brat(document)
        except DataError as error:
            refuse(error)
            continue
        # By their names, files are in the order of the documents.
        name = f"{len(seen):08d}"
        write(folder / f"{name}.txt", text.encode())
        write(folder / f"{name}.ann", entities.encode())


def _compare(output: Path, place: Path, format: str, seen: list[_Seen]) -> None:
    """Read what was written, and compare it with what was read before."""
    if not seen:
        raise ReformerError(f"{output}: no document is left to write")
    own = format if format in FORMATS and format != BRAT else None if format == BRAT else "conll"
    back: list[_Seen] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            written = read_documents(place, format=own, spans=SpanReading(on_overlap="keep"))
            for _ in _remembered(written, place.name, back):
                pass
    except DataError as error:
        raise _not_given_back(output, format, seen[min(len(back), len(seen) - 1)], str(error.problem)) from None
    for before, now in zip(seen, back, strict=False):
        if before.content != now.content:
            raise _not_given_back(output, format, before, "its text or a span would be another")
    if len(back) != len(seen):
        which = seen[min(len(back), len(seen) - 1)]
        raise _not_given_back(
            output, format, which, f"{counted(len(back), 'document')} would be read, not {len(seen):,}"
        )
    none = _digest("")
    lost = Counter(ids=0, classes=0)
    for before, now in zip(seen, back, strict=True):
        lost["ids"] += before.id not in (none, now.id)
        lost["classes"] += before.classes != now.classes
    for what, number in lost.items():
        if number:
            warnings.warn(f"{output}: {what} for which {format} has no place, left out: {number:,}", DataWarning, 3)


def _not_given_back(output: Path, format: str, seen: _Seen, reason: str) -> ReformerError:
    return ReformerError(
        f"{output}: {format} would not give back the document at {seen.source}: {reason}; choose another format, such "
        "as jsonl"
    )
