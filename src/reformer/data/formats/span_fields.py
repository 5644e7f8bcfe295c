"""Spans in JSON under the names that annotation tools and data sets give their fields."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from reformer.data.formats.record import Asked, Record, RecordError, kind, label_text, text_of, unread
from reformer.data.spans import MarkedSpan
from reformer.wording import counted

SHAPE = 'write "spans": [{"start": 0, "end": 2, "label": "LOC"}, ...]'
_FIELDS = ("spans", "entities", "labels", "label", "annotations")
_STARTS = ("start", "start_offset", "start_idx", "start_pos", "startOffset", "start_char", "begin")
_ENDS = ("end", "end_offset", "end_idx", "end_pos", "endOffset", "end_char", "stop")
_LABELS = ("label", "labels", "type", "entity_group", "entity_type", "tag", "category")
_TEXTS = ("text", "entity", "word", "mention", "surface", "span", "name", "value")
# Names under which some data sets count the last character and others the one behind it.
_EITHER = {"end_idx", "end_pos"}
_LEFT_OUT = ("relations", "Comments", "comments")
_CHOICE = ("options", "accept")
_ANSWERS = {"reject": "rejected", "ignore": "ignored"}


def read_fields(record: Mapping[str, Any], asked: Asked) -> Record:
    """A record of text and spans, by the names that its own fields have: JSONL of this library, of doccano and of
    Prodigy, CMeEE, Label Studio's JSON-MIN."""
    text = text_of(record, asked.text)
    if not asked.spans:
        label = _classes(record, asked)
        return Record(text, record.get("id"), None if _are_spans(label) else label)
    name = _field(record, asked)
    label = None if asked.label == name else _classes(record, asked)
    spans = None if name is None else _spans(name, record[name])
    left_out = {each: len(record[each]) for each in _LEFT_OUT if isinstance(record.get(each), list) and record[each]}
    answer = record.get("answer")
    read = {asked.text, asked.label, name, "id", "answer", *left_out, *(_CHOICE if _is_choice(record) else ())}
    status = _ANSWERS.get(answer) if type(answer) is str else None
    return Record(text, record.get("id"), label, spans, left_out, unread(record, read), status)


def _classes(record: Mapping[str, Any], asked: Asked) -> Any:
    """What a record says of the class: in its field, as Label Studio's JSON-MIN writes several choices, or as
    Prodigy writes the options that the annotator has accepted."""
    if asked.label is None:
        return None
    if asked.label not in record and _is_choice(record):
        return record["accept"]
    label = record.get(asked.label)
    return label["choices"] if isinstance(label, dict) and isinstance(label.get("choices"), list) else label


def _is_choice(record: Mapping[str, Any]) -> bool:
    return all(isinstance(record.get(name), list) for name in _CHOICE)


def _field(record: Mapping[str, Any], asked: Asked) -> str | None:
    """The field that has the spans; None if none has.

    Raises:
        RecordError: more than one may be meant.
    """
    names = [name for name in _FIELDS if name != asked.text and record.get(name) is not None]
    full = [name for name in names if _are_spans(record[name])]
    full += [name for name in record if name not in (*_FIELDS, "tokens") and _are_labelled_regions(record[name])]
    if len(full) > 1:
        raise RecordError(
            f"the fields {' and '.join(map(repr, full))} both have spans", "leave in the record those that are meant"
        )
    if full:
        return full[0]
    if "spans" in names:
        return "spans"
    return next((name for name in names if record[name] == []), None)


def _are_spans(value: object) -> bool:
    if not isinstance(value, list) or not value:
        return False
    first = value[0]
    if isinstance(first, dict):
        return any(name in first for name in _STARTS)
    return isinstance(first, list) and len(first) == 3


def _are_labelled_regions(value: object) -> bool:
    """Whether a field of any name has Label Studio's regions: it is named after the tag of the interface."""
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, dict) and {"start", "end", "labels"} <= first.keys()


def _spans(name: str, value: object) -> list[MarkedSpan]:
    if not isinstance(value, list):
        raise RecordError(f"the field {name!r} is a JSON {kind(value)}", SHAPE)
    found = []
    for number, span in enumerate(value, 1):
        found += spans_of_list(span, number) if isinstance(span, list) else spans_of_object(span, number)
    return found


def spans_of_list(span: Sequence[Any], number: int) -> list[MarkedSpan]:
    """A span as start, end and label."""
    if len(span) != 3:
        raise RecordError(f"span {number} has {counted(len(span), 'value')}, and not start, end and label", SHAPE)
    start, end = (offset(span[place], name, number) for place, name in ((0, "start"), (1, "end")))
    return [MarkedSpan(start, end, label_name(span[2], "label"))]


def spans_of_object(span: Any, number: int) -> list[MarkedSpan]:
    """The span of an object, or several, where it has several labels."""
    fields = span if isinstance(span, dict) else {}
    start, end = _first(fields, _STARTS), _first(fields, _ENDS)
    label = _first(fields, _LABELS) or ("entity" if fields.get("entity") and "word" in fields else None)
    if start is None or end is None or label is None:
        raise RecordError(f"span {number} has not the fields 'start', 'end' and 'label'", SHAPE)
    own = next((fields[name] for name in _TEXTS if name != label and isinstance(fields.get(name), str)), None)
    labels = fields[label] if isinstance(fields[label], list) else [fields[label]]
    if not labels:
        raise RecordError(f"span {number} has an empty list of labels", "give it one, or delete it")
    first, last = offset(fields[start], start, number), offset(fields[end], end, number)
    included = None if end in _EITHER else False
    # Label Studio alone has several labels a span, and counts as browsers do.
    in_utf16 = isinstance(fields[label], list)
    return [MarkedSpan(first, last, label_name(each, label), own, included, in_utf16) for each in labels]


def _first(fields: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((name for name in names if fields.get(name) is not None), None)


def offset(value: Any, name: str, number: int) -> int:
    """An offset: a whole number, which some tools write as 3.0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise RecordError(
            f"the {name!r} of span {number} is {json.dumps(value, ensure_ascii=False)}, no integer",
            "count in characters of the text, from 0",
        )
    return value


def label_name(value: object, field: str) -> str:
    """A label or an id: a string that is not empty, without blanks around it; a number or a boolean becomes one."""
    name = label_text(value)
    if name:
        return name
    found = "an empty string" if isinstance(value, str) else f"a JSON {kind(value)}"
    raise RecordError(f"the field {field!r} is {found}", "make it a string that is not empty, or a whole number")
