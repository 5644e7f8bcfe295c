"""A record of a file of labelled text, before its spans are checked against the text."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reformer.data.documents import Document, span_problem
from reformer.data.errors import DataError
from reformer.data.spans import MarkedSpan


class RecordError(ValueError):
    """A record that cannot be read, and what to do about it."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem, self.remedy = problem, remedy


@dataclass
class Record:
    """What a record says of a text; None where it says nothing. `left_out` counts what is not read."""

    text: str
    id: Any = None
    label: Any = None
    spans: Sequence[MarkedSpan] | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    others: Sequence[str] = ()
    """Fields that hold something and are not read."""
    status: str | None = None
    """Why the annotator's work on this record does not count, if it does not."""


@dataclass(frozen=True)
class Asked:
    """What is to be read of a record: where its text and class are, and whether spans are looked at."""

    text: str
    label: str | None
    spans: bool


@dataclass(frozen=True)
class JsonFormat:
    """A format whose records are JSON.

    `matches` tells its records by what they have, `read` reads one, and `build` makes one of a document, or raises
    `DataError` where it cannot hold it. With `as_list` a file is one JSON list, else a record a line.
    """

    name: str
    matches: Callable[[Any, Asked], bool]
    read: Callable[[Any, Asked], Record]
    build: Callable[[Document], Any]
    as_list: bool = False


def label_text(value: object) -> str | None:
    """A label as text, the same in every format: without blanks around it, `1` for 1.0, `true` for True.

    None for what is none of these: a list, an object, a number that is not whole.

    >>> label_text(" pos "), label_text(1.0), label_text(True)
    ('pos', '1', 'true')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() if isinstance(value, str | int) else None


def kind(value: object) -> str:
    """The JSON type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return {str: "string", list: "array", dict: "object"}[type(value)]


def text_of(record: Mapping[str, Any], name: str) -> str:
    """The text of a record.

    Raises:
        RecordError: there is none in the field of this name.
    """
    if name not in record:
        known = ", ".join(map(repr, record)) or "none"
        raise RecordError(f"there is no field {name!r}; the fields are {known}", "name the field of the text")
    if not isinstance(record[name], str):
        raise RecordError(f"the field {name!r} is a JSON {kind(record[name])}", "make it a string")
    return record[name]


def unread(fields: Mapping[str, Any], read: Collection[str]) -> list[str]:
    """The names of the fields that hold something and are not read.

    >>> unread({"text": "a", "meta": {}, "approver": None, "score": 0}, {"text"})
    ['score']
    """
    return [name for name, value in fields.items() if name not in read and value not in (None, "", [], {})]


def refuse(document: Document, format: str, problem: str) -> DataError:
    """The error of a document that a format cannot hold."""
    return DataError.at(
        document.source or document.id, f"{format} cannot hold this: {problem}", "choose another format, such as jsonl"
    )


def refuse_overlap(document: Document, format: str) -> None:
    """Raise the error of a document whose spans overlap, for a format of one tag a word."""
    problem = span_problem(document.text, document.spans or ())
    if problem is not None:
        raise refuse(document, format, problem)
