"""Review of a model's answers on labelled records: scores of each class, confusions, mistakes, confidence."""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int64

from reformer.metrics.calibration import (
    Calibration,
    confidence_metrics,
    expected_calibration_error,
    fit_temperature,
    tempered,
)
from reformer.metrics.marked import MarkedDocument

MOST_MISTAKES = 200
"""Mistakes of one kind that are kept: the most confident ones."""

MOST_DOCUMENTS, MOST_CHARACTERS = 20, 200_000
"""Documents with mistakes that are kept whole, and their characters together."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One wrong answer, in its context."""

    kind: str
    id: str
    before: str
    text: str
    after: str
    true: str
    predicted: str
    score: float | None
    """The probability that the model gave it; None where it gave no answer."""


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Scores of one class or type."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass
class Review:
    """Answers on one part of the data against its labels.

    Args:
        names: the classes, or the types of entities, in the order of the confusions.
        outside: what stands beside the last of them where one of both sides has no entity; None for classes.
        counts_others: whether a true class or type that is not among the names is a mistake; if not, it is left out.
    """

    names: Sequence[str]
    outside: str | None = None
    counts_others: bool = True
    metrics: Mapping[str, int | float] = field(default_factory=dict)
    mistake_counts: dict[str, int] = field(default_factory=dict)
    documents: list[MarkedDocument] = field(default_factory=list)
    """The first documents with mistakes, as many as a page can show."""

    def __post_init__(self) -> None:
        size = len(self.axis)
        # Rows are true classes, columns predicted ones.
        self.confusions: Int64[np.ndarray, "true predicted"] = np.zeros((size, size), dtype=np.int64)
        # True positives, predicted, true.
        self.counts: Int64[np.ndarray, "names 3"] = np.zeros((len(self.names), 3), dtype=np.int64)
        self._mistakes: dict[str, list[tuple[float, int, Mistake]]] = {}
        self._rows: list[Sequence[float]] = []
        self._given: list[int] = []
        self._right: list[int] = []
        self._positive: list[bool] = []

    @property
    def axis(self) -> list[str]:
        """The names of the confusions' rows."""
        return [*self.names, *([] if self.outside is None else [self.outside])]

    def add_confidence(self, probabilities: Sequence[float], given: int, right: int, *, positive: bool = True) -> None:
        """Count one answer.

        Args:
            probabilities: of answers that exclude each other.
            given: the one that was given.
            right: the one that is right.
            positive: False for a label that was not answered, of which the calibration alone is measured.
        """
        self._rows.append(probabilities)
        self._given.append(given)
        self._right.append(right)
        self._positive.append(positive)

    def add_class(self, probabilities: Sequence[float], given: int, right: int) -> None:
        """Count one record's class, by the numbers of classes."""
        self.confusions[right, given] += 1
        self.counts[given] += (given == right, 1, 0)
        self.counts[right, 2] += 1
        self.add_confidence(probabilities, given, right)

    def add_mistake(self, mistake: Mistake) -> None:
        """Count a mistake, and keep it if it is among the most confident of its kind."""
        number = self.mistake_counts[mistake.kind] = self.mistake_counts.get(mistake.kind, 0) + 1
        # Of equal ones the first are kept.
        entry = (-1.0 if mistake.score is None else mistake.score, -number, mistake)
        kept = self._mistakes.setdefault(mistake.kind, [])
        if len(kept) < MOST_MISTAKES:
            heapq.heappush(kept, entry)
        else:
            heapq.heappushpop(kept, entry)

    def add_document(self, document: MarkedDocument) -> None:
        """Keep a document with mistakes, if it is among the first."""
        shown = sum(len(each.text) for each in self.documents)
        if len(self.documents) < MOST_DOCUMENTS and shown + len(document.text) <= MOST_CHARACTERS:
            self.documents.append(document)

    def mistakes(self) -> Iterator[Mistake]:
        """The mistakes that were kept, the most confident first."""
        entries = (entry for kept in self._mistakes.values() for entry in kept)
        for _, _, mistake in sorted(entries, key=lambda entry: entry[:2], reverse=True):
            yield mistake

    def class_scores(self) -> list[ClassScores]:
        """Precision, recall and F1 of each class; a quotient with 0 below is 0."""
        return [
            ClassScores(
                name,
                right / max(predicted, 1),
                right / max(true, 1),
                2 * right / max(predicted + true, 1),
                true,
            )
            for name, (right, predicted, true) in zip(self.names, self.counts.tolist(), strict=True)
        ]

    def fit(self) -> Calibration:
        """The calibration that is best on these answers."""
        rows, right = self.answers()
        temperature, reason = fit_temperature(rows, right, np.array(self._given, dtype=np.int64) == right)
        return Calibration(temperature, reason)

    def calibration_metrics(self, calibration: Calibration) -> dict[str, int | float]:
        """Calibration error before and after, and `confidence_metrics` after. The probabilities that were counted must
        be calibrated so."""
        rows, right = self.answers()
        each, given = np.arange(len(rows)), np.array(self._given, dtype=np.int64)
        before = rows if calibration.temperature is None else tempered(rows, 1 / calibration.temperature)
        before, after = before[each, given], rows[each, given]
        hits, positive = given == right, np.array(self._positive, dtype=bool)
        return {
            "ece_before": expected_calibration_error(before, hits),
            "ece_after": expected_calibration_error(after, hits),
            **confidence_metrics(after[positive], hits[positive]),
        }

    def answers(self) -> tuple[Float[np.ndarray, "rows answers"], Int64[np.ndarray, " rows"]]:
        """The probabilities that were counted, and of each row the place of the one that is right."""
        rows = np.array(self._rows, dtype=np.float64).reshape(len(self._rows), len(self._rows[0]) if self._rows else 0)
        return rows, np.array(self._right, dtype=np.int64)
