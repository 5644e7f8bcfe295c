"""JSONL of this library, and of tools and data sets whose records have a text and a list of spans."""

from typing import Any

from reformer.data.documents import Document
from reformer.data.formats.record import Asked, JsonFormat
from reformer.data.formats.span_fields import read_fields


def _matches(record: Any, asked: Asked) -> bool:
    return isinstance(record, dict) and asked.text in record


def _build(document: Document) -> dict[str, Any]:
    record: dict[str, Any] = {"id": document.id, "text": document.text}
    if document.label is not None:
        record["label"] = document.label
    if document.labels is not None:
        record["label"] = list(document.labels)
    if document.spans is not None:
        record["spans"] = [{"start": each.start, "end": each.end, "label": each.label} for each in document.spans]
    return record


def _build_cmeee(document: Document) -> dict[str, Any]:
    record = {name: value for name, value in _build(document).items() if name != "spans"}
    if document.spans is not None:
        record["entities"] = [
            # The last character belongs to the entity.
            {
                "start_idx": span.start,
                "end_idx": span.end - 1,
                "type": span.label,
                "entity": document.text[span.start : span.end],
            }
            for span in document.spans
        ]
    return record


JSONL = JsonFormat("jsonl", _matches, read_fields, _build)
CMEEE = JsonFormat("cmeee", _matches, read_fields, _build_cmeee, as_list=True)
