"""One checked document from the fields of a record."""

import json
from collections.abc import Iterable
from typing import Any

from reformer.data.documents import Document
from reformer.data.errors import DataError
from reformer.data.readers._reading import Reading
from reformer.data.readers._source import Place
from reformer.data.spans import MarkedSpan, SpanError, read_spans


def check_utf8(text: str, place: str, field: str) -> None:
    """Raise a `DataError` at `place` where `text`, which is `field` of a record, cannot be written as UTF-8.

    JSON can spell half of a surrogate pair, and no tokenizer takes it.
    """
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError.at(
            place,
            f"character {error.start} of {field} is half of a surrogate pair, no character",
            "write it in UTF-8, or the pair as two \\u escapes",
        ) from None


def check_others(others: dict[str, Any], place: str) -> dict[str, Any]:
    """The other fields of a record, which answers are to carry; a `DataError` where they cannot be written as UTF-8."""
    for name, value in others.items():
        check_utf8(name, place, "the name of a field")
        check_utf8(json.dumps(value, ensure_ascii=False), place, f"the JSON of the field {name!r}")
    return others


def checked_document(
    source: Place,
    line: int,
    text: str,
    *,
    id: str | None = None,
    label: str | None = None,
    labels: tuple[str, ...] | None = None,
    spans: Iterable[MarkedSpan] | None = None,
    reading: Reading | None = None,
) -> Document:
    """The document of the record that begins at `line`; `DataError` when it has no text or its spans are wrong."""
    if not text.strip():
        raise source.error("empty text", "give the record a text, or delete it", line)
    place = f"{source.path}:{line}"
    check_utf8(text, place, "the text")
    check_utf8(id or "", place, "the id")
    for name in (label, *(labels or ())):
        check_utf8(name or "", place, "the label")
    found = None
    if spans is not None and reading is not None and reading.spans is not None:
        try:
            found = read_spans(text, spans, reading.spans, reading.notes, line)
        except SpanError as error:
            raise source.error(error.problem, error.remedy, line) from None
        for span in found:
            check_utf8(span.label, place, f"the label of the span {span.start}:{span.end}")
    return Document(text, id or f"{source.name}:{line}", label, found, place, labels)
