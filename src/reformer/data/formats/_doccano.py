"""doccano: exports of sequence labelling and of text classification."""

from typing import Any

from reformer.data.documents import Document
from reformer.data.formats._jsonl import JSONL
from reformer.data.formats.record import JsonFormat


def _build(document: Document) -> dict[str, Any]:
    record: dict[str, Any] = {"id": document.id, "text": document.text}
    if document.label is not None:
        record["label"] = [document.label]
    if document.labels is not None:
        record["label"] = list(document.labels)
    if document.spans is not None:
        record["label"] = [[span.start, span.end, span.label] for span in document.spans]
    return record


DOCCANO = JsonFormat("doccano", JSONL.matches, JSONL.read, _build)
