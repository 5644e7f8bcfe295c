"""Document with its entities marked: those that are right, wrong, missed, or of which nothing is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Kind = Literal["found", "right", "wrong", "missed"]


@dataclass(frozen=True, slots=True)
class MarkedSpan:
    """Characters `start` to `end` (excluded) of a text; `found` where nothing tells whether they are right."""

    start: int
    end: int
    label: str
    score: float | None
    kind: Kind


@dataclass(frozen=True, slots=True)
class MarkedDocument:
    """A text with what was found in it."""

    id: str
    text: str
    spans: Sequence[MarkedSpan]
    scores: Sequence[tuple[str, float, bool]] = ()
    """Of its classes: name, probability, and whether it is the answer."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a line, with the spans that it lies in, the shortest last, and whether the last one ends here."""

    text: str
    spans: Sequence[MarkedSpan] = ()
    ends: bool = False


def lines(document: MarkedDocument) -> list[list[Piece]]:
    """The lines of a document in pieces, none of which a span begins or ends within.

    >>> spans = [MarkedSpan(0, 2, "LOC", None, "found")]
    >>> [[(piece.text, len(piece.spans)) for piece in line] for line in lines(MarkedDocument("a", "北京\\n好", spans))]
    [[('北京', 1)], [('好', 0)]]
    """
    text = document.text
    borders = sorted({0, len(text), *(place for span in document.spans for place in (span.start, span.end))})
    begins = sorted(document.spans, key=lambda span: span.start)
    found: list[list[Piece]] = [[]]
    covering: list[MarkedSpan] = []
    next_span = 0
    for start, end in pairwise(borders):
        covering = [span for span in covering if span.end > start]
        while next_span < len(begins) and begins[next_span].start <= start:
            covering.append(begins[next_span])
            next_span += 1
        spans = sorted(covering, key=lambda span: span.start - span.end)
        parts = text[start:end].split("\n")
        for number, part in enumerate(parts):
            if number:
                found.append([])
            if part:
                is_end = bool(spans) and spans[-1].end == end and number == len(parts) - 1
                found[-1].append(Piece(part, spans, is_end))
    return found
