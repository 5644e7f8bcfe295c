"""JSONL: an object a line, with a text and a class or spans."""

import json
from collections.abc import Iterator

from reformer.data.documents import Document, Span
from reformer.data.errors import DataError, OnError
from reformer.data.labels import split_labels
from reformer.data.readers._record import checked_document
from reformer.data.readers._source import Source, UnreadableFileError

_EXAMPLE = 'one object a line, such as {"text": "...", "label": "..."}'


def read_jsonl(
    source: Source,
    text_column: str,
    label_column: str | None,
    on_error: OnError,
    label_separator: str | None = None,
) -> Iterator[Document]:
    while True:
        try:
            line = next(source)
            if not line.strip():
                continue
            document = _document(source, line, text_column, label_column, label_separator)
        except StopIteration:
            return
        except UnreadableFileError:
            raise
        except DataError as error:
            on_error(error)
        else:
            yield document


def _document(
    source: Source, line: str, text_column: str, label_column: str | None, label_separator: str | None
) -> Document:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise source.error(f"broken JSON ({error.msg} at column {error.colno})", f"write {_EXAMPLE}") from None
    except (RecursionError, ValueError) as error:
        raise source.error(f"JSON that cannot be read ({error})", f"write {_EXAMPLE}") from None
    if not isinstance(record, dict):
        raise source.error(f"a JSON {_kind(record)} where an object should be", f"write {_EXAMPLE}")
    if text_column not in record:
        known = ", ".join(map(repr, record)) or "none"
        raise source.error(f"there is no field {text_column!r}; the fields are {known}", "name the field of the text")
    text = record[text_column]
    if not isinstance(text, str):
        raise source.error(f"the field {text_column!r} is a JSON {_kind(text)}", "make it a string")
    identity = record.get("id")
    spans = record.get("spans")
    label, labels = _label(source, record, label_column, label_separator)
    return checked_document(
        source,
        source.line,
        text,
        id=None if identity is None else _name(source, "id", identity),
        label=label,
        labels=labels,
        spans=None if spans is None else _spans(source, spans),
    )


def _label(
    source: Source, record: dict[str, object], label_column: str | None, separator: str | None
) -> tuple[str | None, tuple[str, ...] | None]:
    """The one label of a record, or several."""
    label = None if label_column is None else record.get(label_column)
    if isinstance(label, list):
        return None, tuple(sorted({_name(source, str(label_column), each) for each in label}))
    if separator is not None and isinstance(label, str):
        return None, split_labels(label, separator)
    return None if label is None else _name(source, str(label_column), label), None


def _name(source: Source, field: str, value: object) -> str:
    """A label or an id: a string that is not empty, or a whole number, which becomes one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value.strip():
        return value
    found = "an empty string" if isinstance(value, str) else f"a JSON {_kind(value)}"
    raise source.error(f"the field {field!r} is {found}", "make it a string that is not empty, or a whole number")


def _spans(source: Source, spans: object) -> list[Span]:
    shape = 'write "spans": [{"start": 0, "end": 2, "label": "LOC"}, ...]'
    if not isinstance(spans, list):
        raise source.error(f"the field 'spans' is a JSON {_kind(spans)}", shape)
    found = []
    for number, span in enumerate(spans, 1):
        if not isinstance(span, dict) or not {"start", "end", "label"} <= span.keys():
            raise source.error(f"span {number} has not the fields 'start', 'end' and 'label'", shape)
        for end in ("start", "end"):
            if not isinstance(span[end], int) or isinstance(span[end], bool):
                raise source.error(
                    f"the {end!r} of span {number} is {json.dumps(span[end], ensure_ascii=False)}, no integer",
                    "count in characters of the text, from 0",
                )
        found.append(Span(span["start"], span["end"], _name(source, "label", span["label"])))
    return found


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return {str: "string", list: "array", dict: "object"}[type(value)]
