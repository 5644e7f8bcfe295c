"""CLUENER: labels as an object of types, each with its entities and their places, ends included."""

from typing import Any

from reformer.data.documents import Document
from reformer.data.formats.record import Asked, JsonFormat, Record, RecordError, text_of, unread
from reformer.data.formats.span_fields import label_name, offset
from reformer.data.spans import MarkedSpan

_SHAPE = 'write "label": {"name": {"王明": [[7, 8]]}}, the ends included'


def _matches(record: Any, asked: Asked) -> bool:
    types = record.get("label") if isinstance(record, dict) and asked.text in record else None
    return isinstance(types, dict) and all(isinstance(each, dict) for each in types.values())


def _read(record: Any, asked: Asked) -> Record:
    text = text_of(record, asked.text)
    if not asked.spans:
        return Record(text, record.get("id"))
    spans = []
    for name, entities in record["label"].items():
        for own, places in entities.items():
            if not isinstance(places, list) or not all(isinstance(each, list) and len(each) == 2 for each in places):
                raise RecordError(f"the label {name!r} has not an object of entities and their places", _SHAPE)
            for start, end in places:
                number = len(spans) + 1
                first, last = offset(start, "start", number), offset(end, "end", number)
                spans.append(MarkedSpan(first, last, label_name(name, "label"), own, None))
    others = unread(record, (asked.text, "id", "label"))
    return Record(text, record.get("id"), spans=spans, others=others)


def _build(document: Document) -> dict[str, Any]:
    record: dict[str, Any] = {"id": document.id, "text": document.text}
    if document.spans is not None:
        types: dict[str, dict[str, list[list[int]]]] = {}
        for span in document.spans:
            places = types.setdefault(span.label, {}).setdefault(document.text[span.start : span.end], [])
            places.append([span.start, span.end - 1])
        record["label"] = types
    return record


CLUENER = JsonFormat("cluener", _matches, _read, _build)
