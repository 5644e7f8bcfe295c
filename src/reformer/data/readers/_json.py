"""JSON: records a line or in one list, of this library's own form or of an annotation tool's."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

from reformer.data.documents import Document
from reformer.data.errors import DataError
from reformer.data.formats.record import Asked, JsonFormat, RecordError, kind
from reformer.data.formats.span_fields import label_name
from reformer.data.formats.table import JSON_FORMATS, format_of
from reformer.data.labels import split_labels
from reformer.data.readers._reading import Reading
from reformer.data.readers._record import check_others, checked_document
from reformer.data.readers._source import Place, Source, UnreadableFileError

_EXAMPLE = 'one object a line, such as {"text": "...", "label": "..."}'


def read_json(source: Source, reading: Reading, format: JsonFormat | None = None) -> Iterator[Document]:
    """A document a record; without a format, each record's own fields tell it."""
    return _documents(source, json_records(source, reading), reading, format)


def _documents(
    source: Place, records: Iterable[tuple[int, int, Any]], reading: Reading, format: JsonFormat | None
) -> Iterator[Document]:
    asked = Asked(reading.text_column, reading.label_column, reading.spans is not None)
    for number, line, record in records:
        try:
            document = _document(source, line, record, asked, reading, format, number)
        except RecordError as error:
            reading.on_error(source.error(error.problem, error.remedy, line))
        except DataError as error:
            reading.on_error(error)
        else:
            if document is not None:
                yield document


def read_records(path: str, records: Iterable[tuple[int, Any]], reading: Reading) -> Iterator[Document]:
    """The documents of numbered records that another reader has."""
    return _documents(Place(path), ((number, number, record) for number, record in records), reading, None)


def json_records(source: Source, reading: Reading) -> Iterator[tuple[int, int, Any]]:
    """The records of a file, from a line each or from one list: the number of each, its line, and the record.

    The number of a record that has a line of its own is that of the line.
    """
    lines = _lines(source, reading)
    first = next(lines, None)
    if first is None:
        return
    number, line = first
    try:
        whole = json.loads(line)
    except (ValueError, RecursionError):
        whole = None
    if line.lstrip()[:1] in ("[", "{") and (whole is None or _is_list_of_records(whole) or _wrapped(whole) is not None):
        lines = list(chain([first], lines))
        found = _one_value(lines)
        if found is not None:
            yield from ((place, line, record) for place, (line, record) in enumerate(found, 1))
            return
        lines = iter(lines)
    else:
        lines = chain([first], lines)
    for number, line in lines:
        try:
            yield number, number, json.loads(line)
        except json.JSONDecodeError as error:
            problem = f"broken JSON ({error.msg} at column {error.colno})"
            reading.on_error(source.error(problem, f"write {_EXAMPLE}", number))
        except (RecursionError, ValueError) as error:
            reading.on_error(source.error(f"JSON that cannot be read ({error})", f"write {_EXAMPLE}", number))


def _lines(source: Source, reading: Reading) -> Iterator[tuple[int, str]]:
    while True:
        try:
            line = next(source)
        except StopIteration:
            return
        except UnreadableFileError:
            raise
        except DataError as error:
            reading.on_error(error)
        else:
            if line.strip():
                yield source.line, line


def _is_list_of_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict | list) for each in value)


def _wrapped(value: Any) -> list[Any] | None:
    """The records that are a field of one object, which says other things of all of them; None where none are."""
    if not isinstance(value, dict):
        return None
    # The form of a browser tool for spaCy: the types beside the examples, of which those passed over are null.
    if "classes" in value and isinstance(value.get("annotations"), list):
        return [each for each in value["annotations"] if each is not None]
    return value["data"] if _is_list_of_records(value.get("data")) else None


def _one_value(lines: list[tuple[int, str]]) -> Iterator[tuple[int, Any]] | None:
    """The records of one JSON value that all lines together are, or of several that have lines of their own; None if
    they are none."""
    text = "".join(line for _, line in lines)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _values(lines, text)
    if isinstance(value, dict):
        wrapped = _wrapped(value)
        return ((lines[0][0], each) for each in ([value] if wrapped is None else wrapped))
    return _numbered(lines, text, text.index("[") + 1) if isinstance(value, list) else None


def _values(lines: list[tuple[int, str]], text: str) -> Iterator[tuple[int, Any]] | None:
    """Objects of several lines each, one after the other, as `jq` writes them; None if these are others."""
    if lines[0][1].strip() not in ("{", "["):
        return None
    try:
        found = list(_numbered(lines, text, 0))
    except (ValueError, RecursionError):
        return None
    return iter(found) if all(isinstance(value, dict | list) for _, value in found) else None


def _numbered(lines: list[tuple[int, str]], text: str, place: int) -> Iterator[tuple[int, Any]]:
    """The values that stand in these lines from a place on, to the end or that of a list, each with the line where it
    begins.

    Raises:
        ValueError: something else stands there.
    """
    decoder = json.JSONDecoder()
    reached, index = len(lines[0][1]), 0
    while True:
        while place < len(text) and text[place] in " \t\r\n,":
            place += 1
        if place == len(text) or text[place] == "]":
            return
        while place >= reached:
            index += 1
            reached += len(lines[index][1])
        item, place = decoder.raw_decode(text, place)
        yield lines[index][0], item


def _document(
    source: Place, line: int, record: Any, asked: Asked, reading: Reading, format: JsonFormat | None, number: int
) -> Document | None:
    """The document of a record; None where its annotation does not count."""
    chosen = format or format_of(record, asked)
    if isinstance(record, dict) and asked.text in record and record.keys() <= {asked.text, "id"}:
        # Nothing is marked, which is the same in every format of objects.
        chosen = JSON_FORMATS["jsonl"]
    if not chosen.matches(record, asked):
        if isinstance(record, dict):
            known = ", ".join(map(repr, record)) or "none"
            remedy = "name the field of the text" if format is None else f"leave out --format {format.name}"
            raise RecordError(f"there is no field {asked.text!r}; the fields are {known}", remedy)
        raise RecordError(f"a JSON {kind(record)} where an object should be", f"write {_EXAMPLE}")
    found = chosen.read(record, asked)
    if found.status is not None:
        reading.notes.count(f"records left out that the annotator {found.status}", line)
        return None
    for what, number in found.left_out.items():
        reading.notes.count(f"{what} left out", line, number)
    for name in found.others if reading.tells_others else ():
        reading.notes.count(f"fields {name!r} left out", line)
    label, labels = _labels(found.label, asked.label or "label", reading.label_separator)
    document = checked_document(
        source,
        line,
        found.text,
        # The records of a list may all stand on one line.
        id=f"{source.name}:{number}" if found.id is None else label_name(found.id, "id"),
        label=label,
        labels=labels,
        spans=found.spans,
        reading=reading,
    )
    if not reading.keeps_others:
        return document
    read = (asked.text, "id", asked.label)
    fields = record if isinstance(record, dict) else {}
    others = {name: value for name, value in fields.items() if name not in read}
    return replace(document, others=check_others(others, f"{source.path}:{line}"))


def _labels(label: Any, field: str, separator: str | None) -> tuple[str | None, tuple[str, ...] | None]:
    """The one label of a record, or several."""
    if isinstance(label, list):
        return None, tuple(sorted({label_name(each, field) for each in label}))
    if separator is not None and isinstance(label, str):
        return None, split_labels(label, separator)
    return None if label is None else label_name(label, field), None
