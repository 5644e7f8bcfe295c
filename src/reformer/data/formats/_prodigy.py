"""Prodigy: JSONL in which an answer says whether the annotation counts."""

from typing import Any

from reformer.data.documents import Document
from reformer.data.formats._jsonl import JSONL
from reformer.data.formats.record import JsonFormat


def _build(document: Document) -> dict[str, Any]:
    return {**JSONL.build(document), "answer": "accept"}


PRODIGY = JsonFormat("prodigy", JSONL.matches, JSONL.read, _build)
