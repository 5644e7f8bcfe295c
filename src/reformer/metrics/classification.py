"""Entity F1 and class F1."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from reformer.data import IGNORED, Span

Integers = NDArray[np.integer]


class EntityMetric:
    """Precision, recall and F1 of entities: right only with the right type and both ends (strict IOB2).

    An entity begins at a `B-` tag and goes on over `I-` tags of its own type; an `I-` that continues nothing is no
    entity. So it agrees with seqeval's `classification_report(mode="strict", scheme=IOB2)`, counted batch by batch.
    """

    def __init__(self, labels: Sequence[str], types: Sequence[str] | None = None):
        """Of `labels`, "O", "B-X" and "I-X", only the entities of these `types` count; of all if None."""
        # Every type there is, numbered, and those that count.
        self.known = {name: number for number, name in enumerate(sorted({label[2:] for label in labels} - {""}))}
        self.types = sorted(self.known if types is None else types)
        self.type_ids = {name: index for index, name in enumerate(self.types)}
        self._begins = np.array([label.startswith("B-") and label[2:] in self.type_ids for label in labels])
        self._type = np.array([self.type_ids.get(label[2:], -1) for label in labels])
        # For each type: predicted rightly, predicted, there.
        self.counts = np.zeros((len(self.types), 3), dtype=np.int64)

    def update(self, predictions: Integers, labels: Integers) -> None:
        """Count a batch of tags, `[batch, length]`; places labelled -100 are left out of both."""
        predicted, true = [], []
        for predicted_row, true_row in zip(predictions, labels, strict=True):
            kept = true_row != IGNORED
            predicted.append(predicted_row[kept])
            true.append(true_row[kept])
        found, there = self._entities(predicted), self._entities(true)
        for column, entities in enumerate((np.intersect1d(found, there), found, there)):
            self.counts[:, column] += np.bincount(entities % len(self.types), minlength=len(self.types))

    def update_spans(self, predicted: Iterable[Span], true: Iterable[Span]) -> None:
        """Count one document by its characters: an entity is right when start, end and type are."""
        found, there = set(predicted), set(true)
        for column, spans in enumerate((found & there, found, there)):
            for span in spans:
                if span.label in self.type_ids:
                    self.counts[self.type_ids[span.label], column] += 1

    def result(self) -> dict[str, float]:
        """The micro average (`f1`, `precision`, `recall`) and each type's `TYPE_f1`."""
        precision, recall, f1 = _rates(self.counts.sum(axis=0))
        metrics = {"precision": precision, "recall": recall, "f1": f1}
        for name, counts in zip(self.types, self.counts, strict=True):
            metrics[f"{name}_f1"] = _rates(counts)[2]
        return metrics

    def _entities(self, rows: Sequence[Integers]) -> Integers:
        """One number for each entity, which two entities share only if place and type are the same."""
        length = sum(len(row) + 1 for row in rows)
        # A gap after each row ends the entity that reaches the row's end.
        begins, types = np.zeros(length, dtype=bool), np.full(length, -1, dtype=np.int64)
        at = 0
        for row in rows:
            begins[at : at + len(row)] = self._begins[row]
            types[at : at + len(row)] = self._type[row]
            at += len(row) + 1
        continues = ~begins & (types >= 0)
        continues[1:] &= types[1:] == types[:-1]
        starts = np.flatnonzero(begins)
        breaks = np.append(np.flatnonzero(~continues), length)
        ends = breaks[np.searchsorted(breaks, starts, side="right")]
        return (starts * (length + 1) + ends) * len(self.types) + types[starts]


class ClassMetric:
    """Accuracy and the unweighted mean of the classes' F1, from a table of what was taken for what."""

    def __init__(self, labels: Sequence[str]):
        self.labels = list(labels)
        # Rows are true, columns predicted.
        self.counts = np.zeros((len(labels), len(labels)), dtype=np.int64)

    def update(self, predictions: Integers, labels: Integers) -> None:
        """Count a batch of classes, `[batch]`."""
        np.add.at(self.counts, (labels, predictions), 1)

    def result(self) -> dict[str, float]:
        """`accuracy`, `macro_f1` over the classes that occur, and each one's `CLASS_f1`."""
        right = np.diag(self.counts)
        table = np.stack([right, self.counts.sum(axis=0), self.counts.sum(axis=1)], axis=-1)
        f1 = {name: _rates(row)[2] for name, row in zip(self.labels, table, strict=True) if row.any()}
        total = int(self.counts.sum())
        return {
            "accuracy": float(right.sum() / total) if total else 0.0,
            "macro_f1": float(np.mean(list(f1.values()))) if f1 else 0.0,
            **{f"{name}_f1": value for name, value in f1.items()},
        }


def _rates(counts: Integers) -> tuple[float, float, float]:
    """Precision, recall and F1 of (right, predicted, there); what would divide by zero is zero."""
    right, predicted, there = counts.tolist()
    return (
        right / predicted if predicted else 0.0,
        right / there if there else 0.0,
        2 * right / (predicted + there) if predicted + there else 0.0,
    )
