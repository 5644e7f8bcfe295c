"""Answer to one document: entities, a class, or several labels, with their probabilities."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reformer.data import Document, Span
from reformer.metrics.calibration import Calibration

THRESHOLD = 0.5
"""The probability from which one of several labels is answered, where no other was chosen on the validation part."""


@dataclass(frozen=True, slots=True)
class DocumentAnswer:
    """Prediction for one document: its entities, its class, or its labels, with every label's probability."""

    spans: tuple[Span, ...] | None = None
    label: str | None = None
    scores: dict[str, float] | None = None
    labels: tuple[str, ...] | None = None

    def of_types(self, types: Sequence[str] | None) -> "DocumentAnswer":
        """Without the entities of other types; all of them if None."""
        return self if self.spans is None else replace(self, spans=spans_of_types(self.spans, types))

    def calibrated(self, calibration: Calibration) -> "DocumentAnswer":
        """With calibrated probabilities, and of several labels those that reach their thresholds."""
        if self.spans is not None:
            spans = (
                span if span.score is None else replace(span, score=calibration.of_one(span.score))
                for span in self.spans
            )
            return replace(self, spans=tuple(spans))
        assert self.scores is not None
        if self.labels is None:
            given = calibration.of_each(np.array(list(self.scores.values())))
            return replace(self, scores=dict(zip(self.scores, given.tolist(), strict=True)))
        scores = {name: calibration.of_one(score) for name, score in self.scores.items()}
        thresholds = calibration.thresholds
        labels = tuple(name for name, score in scores.items() if score >= thresholds.get(name, THRESHOLD))
        return replace(self, scores=scores, labels=labels)

    def at_least(self, confidence: float) -> "DocumentAnswer":
        """Without entities and labels of a lower probability; a class of a lower one is None."""
        scores = self.scores or {}
        return replace(
            self,
            spans=self.spans and tuple(span for span in self.spans if (span.score or 0.0) >= confidence),
            label=None if self.label is None or scores[self.label] < confidence else self.label,
            labels=self.labels and tuple(name for name in self.labels if scores[name] >= confidence),
        )


def spans_of_types(spans: Iterable[Span], types: Sequence[str] | None) -> tuple[Span, ...]:
    """The spans of these types; all of them if None."""
    return tuple(span for span in spans if types is None or span.label in types)


def as_json(
    document: Document, answer: DocumentAnswer, *, with_text: bool = True, with_scores: bool = True
) -> dict[str, Any]:
    """A document's answer as the fields of an object for JSON: `text[start:end]` of each span is its entity, exactly.

    Args:
        with_text: repeat the text.
        with_scores: give the probabilities of all classes, beside the `score` of the answer.
    """
    record: dict[str, Any] = {"text": document.text} if with_text else {}
    if answer.spans is not None:
        record["spans"] = [
            {
                "start": span.start,
                "end": span.end,
                "label": span.label,
                "text": document.text[span.start : span.end],
                **({} if span.score is None else {"score": span.score}),
            }
            for span in answer.spans
        ]
        return record
    assert answer.scores is not None
    if answer.labels is not None:
        record |= {"label": list(answer.labels), "score": [answer.scores[name] for name in answer.labels]}
    else:
        record |= {"label": answer.label, "score": max(answer.scores.values())}
    return record | ({"scores": answer.scores} if with_scores else {})
