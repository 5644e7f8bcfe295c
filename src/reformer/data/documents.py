"""Documents with their spans, and how neighbouring ones are joined or long ones split."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reformer.data.errors import DataError
from reformer.data.origin import NOWHERE, Origin
from reformer.wording import counted

_SENTENCE_ENDS = "。！？\n"


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end` (excluded) of a text, and what they are: `text[start:end]` is the entity."""

    start: int
    end: int
    label: str
    score: float | None = field(default=None, compare=False, repr=False)
    """The probability of a predicted span; None where it was given, or nothing tells."""


@dataclass(frozen=True, slots=True)
class Document:
    """A text with what is known about it.

    `label` is the class of the whole text, or `labels` are where it may have several; `spans` are its entities in
    order, without overlap. None means "not known", an empty tuple means "known to have none". `source` is `file:line`,
    for messages.
    """

    text: str
    id: str
    label: str | None = None
    spans: tuple[Span, ...] | None = None
    source: str = ""
    labels: tuple[str, ...] | None = None
    origin: Origin = NOWHERE
    others: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    """Other columns or fields of the record, where they are kept."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The classes of the text, whether it is said to have one or several; None where that is not known."""
        return self.labels if self.label is None else (self.label,)


def span_problem(text: str, spans: Iterable[Span]) -> str | None:
    """What is wrong with spans that should be sorted, inside `text` and without overlap; None if nothing is.

    >>> span_problem("北京欢迎你", [Span(0, 2, "LOC"), Span(1, 3, "LOC")])
    'spans 0:2 (LOC) and 1:3 (LOC) overlap'
    """
    previous: Span | None = None
    for span in spans:
        if not 0 <= span.start < span.end <= len(text):
            return (
                f"span {span.start}:{span.end} ({span.label}) is not inside the text of "
                f"{counted(len(text), 'character')}"
                if span.start < span.end
                else f"span {span.start}:{span.end} ({span.label}) is empty"
            )
        if previous is not None and span.start < previous.end:
            return (
                f"spans {previous.start}:{previous.end} ({previous.label}) and "
                f"{span.start}:{span.end} ({span.label}) overlap"
            )
        previous = span
    return None


def join_documents(documents: Iterable[Document], max_length: int, separator: str = "\n") -> Iterator[Document]:
    """Join neighbouring documents into texts of at most `max_length` characters, spans shifted along.

    One pass; only the document being built is held. Two neighbours are joined only when they come from the
    same file and are of one kind: both with spans or both without (text nobody labelled must not count as
    text without entities). A document with a class label stays alone, since a joined text has no one class.

    A document longer than `max_length` is cut, after a sentence end (`。！？` or a line break) where there is
    one in the second half of the piece, and never inside a span. Its pieces put together are the text again,
    and each names its place in its id: `ID[0:4000]`, `ID[4000:7311]`.

    Raises `DataError` when a single span is longer than `max_length`, `ValueError` when `max_length` < 1.

    >>> pair = [Document("北京", "a", spans=(Span(0, 2, "LOC"),)), Document("去上海", "b", spans=(Span(1, 3, "LOC"),))]
    >>> [joined] = join_documents(pair, 100)
    >>> joined.text, [joined.text[span.start : span.end] for span in joined.spans]
    ('北京\\n去上海', ['北京', '上海'])
    """
    if max_length < 1:
        raise ValueError(f"max_length is {max_length}; it must be at least 1 character")
    group: list[Document] = []
    length = 0
    for document in documents:
        if len(document.text) > max_length:
            yield from _flush(group, separator)
            yield from _split(document, max_length)
            group, length = [], 0
            continue
        joined_length = length + len(separator) + len(document.text)
        if group and joined_length <= max_length and _joinable(group[-1], document):
            group.append(document)
            length = joined_length
        else:
            yield from _flush(group, separator)
            group, length = [document], len(document.text)
    yield from _flush(group, separator)


def drop_duplicates(documents: Iterable[Document]) -> Iterator[Document]:
    """The documents in order, without those whose text has come before; 16 bytes are kept for each text.

    >>> [document.id for document in drop_duplicates([Document("好", "a"), Document("差", "b"), Document("好", "c")])]
    ['a', 'b']
    """
    seen: set[bytes] = set()
    for document in documents:
        digest = hashlib.blake2b(document.text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            yield document


def _joinable(first: Document, second: Document) -> bool:
    return (
        first.label is first.labels is None
        and second.label is second.labels is None
        and (first.spans is None) == (second.spans is None)
        and first.source.rpartition(":")[0] == second.source.rpartition(":")[0]
    )


def _flush(group: list[Document], separator: str) -> Iterator[Document]:
    if len(group) == 1:
        yield group[0]
    elif group:
        spans: list[Span] = []
        offset = 0
        for document in group:
            spans.extend(Span(span.start + offset, span.end + offset, span.label) for span in document.spans or ())
            offset += len(document.text) + len(separator)
        yield Document(
            text=separator.join(document.text for document in group),
            id=f"{group[0].id}..{group[-1].id}",
            spans=None if group[0].spans is None else tuple(spans),
            source=group[0].source,
        )


def _split(document: Document, max_length: int) -> Iterator[Document]:
    spans = sorted(document.spans or (), key=lambda span: span.start)
    start = 0
    first_span = 0
    while start < len(document.text):
        end = _cut(document, spans, first_span, start, max_length)
        last_span = first_span
        while last_span < len(spans) and spans[last_span].end <= end:
            last_span += 1
        inside = (Span(span.start - start, span.end - start, span.label) for span in spans[first_span:last_span])
        yield replace(
            document,
            text=document.text[start:end],
            id=f"{document.id}[{start}:{end}]",
            spans=None if document.spans is None else tuple(inside),
        )
        start, first_span = end, last_span


def _cut(document: Document, spans: list[Span], first_span: int, start: int, max_length: int) -> int:
    """Where the piece that begins at `start` ends."""
    text = document.text
    limit = start + max_length
    if limit >= len(text):
        return len(text)
    # Walk over the gaps between the spans that begin before the limit; a cut may stand anywhere in a gap,
    # at its very ends included.
    gaps: list[tuple[int, int]] = []
    gap_start = start
    for span in spans[first_span:]:
        if span.start >= limit:
            break
        gaps.append((gap_start, span.start))
        gap_start = span.end
    if gap_start <= limit:
        gaps.append((gap_start, limit))
    half = start + max_length // 2
    for low, high in reversed(gaps):
        for end in range(high, max(low, half, start + 1) - 1, -1):
            if text[end - 1] in _SENTENCE_ENDS:
                return end
    low, high = gaps[-1]
    if high > start:
        return high
    span = spans[first_span]
    raise DataError.at(
        document.source or document.id,
        f"the entity {span.start}:{span.end} ({span.label}) has {span.end - span.start} characters, "
        f"and a piece may have {max_length}",
        "raise the maximum length, or correct the span",
    )
