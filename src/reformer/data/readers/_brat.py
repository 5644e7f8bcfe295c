"""brat: the text in one file, and its entities in another beside it."""

import os
import re
from collections.abc import Iterator

from reformer.data.documents import Document
from reformer.data.errors import DataError
from reformer.data.readers._reading import Reading
from reformer.data.readers._record import checked_document
from reformer.data.readers._source import Source, UnreadableFileError
from reformer.data.spans import MarkedSpan

_ENTITY = re.compile(r"T\S*\t([^\t]+?) ([0-9]+ [0-9]+(?:;[0-9]+ [0-9]+)*)(?:\t(.*))?")
_KINDS = {"R": "relations", "E": "events", "A": "attributes", "M": "attributes", "N": "normalizations", "#": "notes"}


def is_brat_folder(path: str) -> bool:
    """Whether this is a folder with brat's files of entities in it."""
    if not os.path.isdir(path):
        return False
    with os.scandir(path) as entries:
        return any(entry.name.endswith(".ann") for entry in entries)


def read_brat(path: str, reading: Reading, encoding: str | None = None) -> Iterator[Document]:
    """The document of one file of entities, or of each in a folder, in the order of their names."""
    if not os.path.isdir(path):
        yield _document(path, reading, encoding)
        return
    for name in sorted(name for name in os.listdir(path) if name.endswith(".ann")):
        try:
            yield _document(os.path.join(path, name), reading, encoding)
        except DataError as error:
            reading.on_error(error)


def _document(path: str, reading: Reading, encoding: str | None) -> Document:
    stem = re.sub(r"\.ann(\.gz)?$", "", path)
    place = next((each for each in (f"{stem}.txt", f"{stem}.txt.gz") if os.path.exists(each)), None)
    if place is None:
        raise UnreadableFileError(
            path, None, "the text of these entities is not beside them", f"put {os.path.basename(stem)}.txt there"
        )
    with Source(place, encoding) as source:
        text = source.decode(source.read(), 0)
    with Source(path, encoding) as source:
        spans = [span for line in source for span in _entities(source, line, reading)]
        source.line = 1
        identity = os.path.basename(stem)
        known = spans if reading.spans is not None else None
        return checked_document(source, 1, text, id=identity, spans=known, reading=reading)


def _entities(source: Source, line: str, reading: Reading) -> Iterator[MarkedSpan]:
    line = line.rstrip("\r\n")
    if not line.strip() or reading.spans is None:
        return
    if not line.startswith("T"):
        what = _KINDS.get(line[0], "other lines")
        reading.notes.count(f"{what} left out", source.line)
        return
    found = _ENTITY.fullmatch(line)
    if found is None:
        raise source.error(f"{line[:60]!r} is no entity", "write T1<tab>PER 0 2<tab>the text")
    numbers = [int(number[:18]) for number in re.findall("[0-9]+", found[2])]
    own = found[3]
    if len(numbers) > 2:
        if not reading.spans.repair:
            raise source.error(
                f"the entity {found[2]} ({found[1]}) is of several parts, and a span here is of one",
                "make it one, or give --repair to read it from its first character to its last",
            )
        reading.notes.count("entities of several parts read from their first character to their last", source.line)
        own = None
    yield MarkedSpan(min(numbers), max(numbers), found[1], own)
