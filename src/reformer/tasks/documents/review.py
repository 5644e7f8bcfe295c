"""Review of answers to labelled documents: what is right, what is confused with what, and each mistake in its place."""

from collections.abc import Iterable, Iterator, Sequence

from reformer.data import Document, Span
from reformer.metrics.marked import Kind, MarkedDocument, MarkedSpan
from reformer.metrics.review import Mistake, Review

CONTEXT = 30
"""Characters of the text on each side of a mistake."""
EXCERPT = 200
"""Characters of a document with a wrong class."""
OUTSIDE = "no entity"


def review_spans(review: Review, document: Document, predicted: Iterable[Span], true: Iterable[Span]) -> None:
    """Count a document's entities of the review's types, strictly: right are both ends and the type.

    A true entity of another type is one that was missed, where the review counts these.
    """
    places = {name: number for number, name in enumerate(review.names)}
    outside = len(places)
    found = [span for span in predicted if span.label in places]
    known = [span for span in true if span.label in places or review.counts_others]
    meant = _meant(found, known)
    for span, gold in zip(found, meant, strict=True):
        right = gold == span
        number = places[span.label]
        review.counts[number] += (right, 1, 0)
        review.confusions[outside if gold is None else places.get(gold.label, outside), number] += 1
        if span.score is not None:
            review.add_confidence((span.score, 1 - span.score), 0, 0 if right else 1)
    met = set(meant)
    for gold in known:
        if gold.label in places:
            review.counts[places[gold.label], 2] += 1
            review.confusions[places[gold.label], outside] += gold not in met
    mistakes = list(_mistakes(document, found, known, meant))
    for mistake in mistakes:
        review.add_mistake(mistake)
    if mistakes:
        review.add_document(MarkedDocument(document.id, document.text, marked_spans(found, known)))


def marked_spans(found: Sequence[Span], known: Sequence[Span] | None) -> list[MarkedSpan]:
    """What was found, right or wrong, and what was missed, in the order of the text; without `known` nothing tells."""
    if known is None:
        return [_mark(span, "found") for span in found]
    right = set(known)
    marks = [_mark(span, "right" if span in right else "wrong") for span in found]
    marks += [_mark(span, "missed") for span in right.difference(found)]
    return sorted(marks, key=lambda mark: (mark.start, -mark.end))


def _mark(span: Span, kind: Kind) -> MarkedSpan:
    return MarkedSpan(span.start, span.end, span.label, span.score, kind)


def _meant(found: Sequence[Span], known: Iterable[Span]) -> list[Span | None]:
    """The true entity at the place of each one that was found, no two the same: that of its type, or else another."""
    left: dict[tuple[int, int], list[Span]] = {}
    for gold in known:
        left.setdefault((gold.start, gold.end), []).append(gold)
    meant: list[Span | None] = [None] * len(found)
    for wants_type in (True, False):
        for number, span in enumerate(found):
            here = left.get((span.start, span.end), [])
            place = next((at for at, gold in enumerate(here) if gold == span or not wants_type), None)
            if meant[number] is None and place is not None:
                meant[number] = here.pop(place)
    return meant


def _mistakes(
    document: Document, found: Sequence[Span], known: Sequence[Span], meant: Sequence[Span | None]
) -> Iterator[Mistake]:
    met = set(meant)
    wrong = [(span, gold) for span, gold in zip(found, meant, strict=True) if gold != span]
    for span, gold in wrong:
        near = [gold] if gold is not None else [each for each in known if _overlap(span, each) and each not in met]
        kind = "mistyped" if gold is not None else "other ends" if near else "invented"
        yield _in_context(document, kind, span, _named(document, near, span), span.label)
    for gold in known:
        if gold not in met and not any(_overlap(gold, span) for span, _ in wrong):
            yield _in_context(document, "missed", gold, gold.label, OUTSIDE)


def _overlap(first: Span, second: Span) -> bool:
    return first.start < second.end and second.start < first.end


def _named(document: Document, gold: Sequence[Span], span: Span) -> str:
    """What is true at a predicted entity; with its text where that has other ends."""
    if not gold:
        return OUTSIDE
    return ", ".join(
        each.label
        if (each.start, each.end) == (span.start, span.end)
        else f"{each.label}: {document.text[each.start : each.end]}"
        for each in gold
    )


def _in_context(document: Document, kind: str, span: Span, true: str, predicted: str) -> Mistake:
    text = document.text
    return Mistake(
        kind=kind,
        id=f"{document.id} {span.start}:{span.end}",
        before=text[max(0, span.start - CONTEXT) : span.start],
        text=text[span.start : span.end],
        after=text[span.end : span.end + CONTEXT],
        true=true,
        predicted=predicted,
        score=span.score,
    )


def review_class(review: Review, document: Document, scores: dict[str, float], predicted: str, true: str) -> None:
    """Count a document's class."""
    places = {name: number for number, name in enumerate(review.names)}
    if true in places:
        review.add_class([scores[name] for name in review.names], places[predicted], places[true])
    if predicted != true:
        review.add_mistake(_of_document(document, "wrong class", true, predicted, scores[predicted]))


def review_labels(
    review: Review, document: Document, scores: dict[str, float], predicted: Sequence[str], true: Sequence[str]
) -> None:
    """Count a document's labels, of which it may have several."""
    for number, name in enumerate(review.names):
        given, right = name in predicted, name in true
        review.counts[number] += (given and right, given, right)
        score = scores[name]
        review.add_confidence((score, 1 - score), 0, 0 if right else 1, positive=given)
        if given != right:
            kind = "label too many" if given else "label missing"
            told = ", ".join(true) or "none", ", ".join(predicted) or "none"
            review.add_mistake(_of_document(document, f"{kind}: {name}", *told, score if given else 1 - score))


def _of_document(document: Document, kind: str, true: str, predicted: str, score: float) -> Mistake:
    text = document.text
    after = " …" if len(text) > EXCERPT else ""
    return Mistake(kind, document.id, "", text[:EXCERPT], after, true, predicted, score)
