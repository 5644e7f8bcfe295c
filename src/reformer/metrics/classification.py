"""Entity F1 and class F1."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Int, Int64

from reformer.data import IGNORED, Span
from reformer.data.label_layers import layer_tags, types_of
from reformer.wording import counted

CLASS = "class/"
"""The beginning of the names of values of one class: no name of a class makes a name of another metric."""

UNKNOWN = "unknown/"
"""The beginning of the names under which true entities or documents are counted whose class the model does not know."""


class EntityMetric:
    """Precision, recall and F1 of entities: right only with the right type and both ends (strict IOB2).

    An entity begins at a `B-` tag and goes on over `I-` tags of its own type; an `I-` that continues nothing is no
    entity. So it agrees with seqeval's `classification_report(mode="strict", scheme=IOB2)`, counted batch by batch.
    """

    def __init__(self, labels: Sequence[str], types: Sequence[str] | None = None):
        """
        Args:
            labels: the tags' names: "O", "B-X" and "I-X"; where there are several layers, of each.
            types: the entity types that count; all of them if None.
        """
        # The numbers of all types; `type_ids` has those that count.
        self.known = {name: number for number, name in enumerate(types_of(labels))}
        self.types = sorted(self.known if types is None else types)
        self.type_ids = {name: index for index, name in enumerate(self.types)}
        # Of each layer: whether a label begins an entity, and the type that it has.
        self._layers = [
            (
                np.array([tag.startswith("B-") and tag[2:] in self.type_ids for tag in tags]),
                np.array([self.type_ids.get(tag[2:], -1) for tag in tags]),
            )
            for tags in zip(*map(layer_tags, labels), strict=True)
        ]
        self._counts_all = types is None
        # For each type: true positives, predicted entities, true entities.
        self.counts: Int64[np.ndarray, "types 3"] = np.zeros((len(self.types), 3), dtype=np.int64)

    def update(self, predictions: Int[np.ndarray, "batch length"], labels: Int[np.ndarray, "batch length"]) -> None:
        """Count a batch of tags; places labelled `IGNORED` are left out of both."""
        predicted_rows, true_rows = [], []
        for predicted_row, true_row in zip(predictions, labels, strict=True):
            tagged = true_row != IGNORED
            predicted_rows.append(predicted_row[tagged])
            true_rows.append(true_row[tagged])
        predicted, true = self._entities(predicted_rows), self._entities(true_rows)
        for column, entities in enumerate((np.intersect1d(predicted, true), predicted, true)):
            self.counts[:, column] += np.bincount(entities % len(self.types), minlength=len(self.types))

    def update_spans(self, predicted: Iterable[Span], true: Iterable[Span]) -> None:
        """Count one document by its characters: an entity is right when start, end and type are.

        A true entity of a type that the model does not know is one that it has missed.
        """
        predicted, true = set(predicted), set(true)
        if self._counts_all:
            for name in sorted({span.label for span in true} - self.type_ids.keys()):
                self.type_ids[name] = len(self.types)
                self.types.append(name)
                self.counts = np.pad(self.counts, ((0, 1), (0, 0)))
        for column, spans in enumerate((predicted & true, predicted, true)):
            for span in spans:
                if span.label in self.type_ids:
                    self.counts[self.type_ids[span.label], column] += 1

    def result(self) -> dict[str, float]:
        """The micro average (`f1`, `precision`, `recall`), `class/TYPE_f1` of each type that is predicted or true, and
        `unknown/TYPE`, how many true entities there are of a type that the model does not know."""
        precision, recall, f1 = _rates(self.counts.sum(axis=0))
        found = {name: counts for name, counts in zip(self.types, self.counts, strict=True) if counts.any()}
        return {
            "precision": precision,
            "recall": recall,
            "f1": f1,
            **{f"{CLASS}{name}_f1": _rates(found[name])[2] for name in sorted(found)},
            **{f"{UNKNOWN}{name}": int(found[name][2]) for name in sorted(found.keys() - self.known.keys())},
        }

    @property
    def standstill(self) -> str | None:
        """What is seen where there are entities and not one was found; None elsewhere."""
        right, predicted, true = self.counts.sum(axis=0).tolist()
        if right or not true:
            return None
        seen = f"none of the {predicted:,} that were predicted is right" if predicted else "every tag is O"
        return f"validation has {counted(true, 'entity')}; {seen}"

    def _entities(self, rows: Sequence[Int[np.ndarray, " _"]]) -> Int64[np.ndarray, " entities"]:
        """One number for each entity, which two entities share only if place and type are the same."""
        found = [self._entities_of(rows, *layer) for layer in self._layers]
        return found[0] if len(found) == 1 else np.unique(np.concatenate(found))

    def _entities_of(
        self,
        rows: Sequence[Int[np.ndarray, " _"]],
        begins_at: Bool[np.ndarray, " labels"],
        type_of: Int[np.ndarray, " labels"],
    ) -> Int64[np.ndarray, " entities"]:
        length = sum(len(row) + 1 for row in rows)
        # A gap after each row ends the entity that reaches the row's end.
        begins, types = np.zeros(length, dtype=bool), np.full(length, -1, dtype=np.int64)
        at = 0
        for row in rows:
            begins[at : at + len(row)] = begins_at[row]
            types[at : at + len(row)] = type_of[row]
            at += len(row) + 1
        continues = ~begins & (types >= 0)
        continues[1:] &= types[1:] == types[:-1]
        starts = np.flatnonzero(begins)
        breaks = np.append(np.flatnonzero(~continues), length)
        ends = breaks[np.searchsorted(breaks, starts, side="right")]
        return (starts * (length + 1) + ends) * len(self.types) + types[starts]


class ClassMetric:
    """Accuracy and macro F1, the unweighted mean of the classes' F1, from a confusion matrix."""

    def __init__(self, labels: Sequence[str]):
        self.labels = list(labels)
        self._known = len(self.labels)
        # The confusion matrix: rows are true classes, columns predicted ones.
        self.counts: Int64[np.ndarray, "classes classes"] = np.zeros((len(labels), len(labels)), dtype=np.int64)

    def update(self, predictions: Int[np.ndarray, " batch"], labels: Int[np.ndarray, " batch"]) -> None:
        """Count a batch of classes."""
        np.add.at(self.counts, (labels, predictions), 1)

    def update_named(self, prediction: str, label: str) -> None:
        """Count one document by the names of its classes; where the model does not know the true one, it is wrong."""
        if label not in self.labels:
            self.labels.append(label)
            self.counts = np.pad(self.counts, (0, 1))
        self.counts[self.labels.index(label), self.labels.index(prediction)] += 1

    def result(self) -> dict[str, float]:
        """`accuracy`, `macro_f1` over the classes that are predicted or true, `class/NAME_f1` of each, and
        `unknown/NAME`, how many documents have a class that the model does not know."""
        right = np.diag(self.counts)
        table = np.stack([right, self.counts.sum(axis=0), self.counts.sum(axis=1)], axis=-1)
        f1 = {name: _rates(row)[2] for name, row in zip(self.labels, table, strict=True) if row.any()}
        total = int(self.counts.sum())
        return {
            "accuracy": float(right.sum() / total) if total else 0.0,
            "macro_f1": float(np.mean(list(f1.values()))) if f1 else 0.0,
            **{f"{CLASS}{name}_f1": value for name, value in f1.items()},
            **{f"{UNKNOWN}{name}": int(table[at, 2]) for at, name in enumerate(self.labels) if at >= self._known},
        }

    @property
    def standstill(self) -> str | None:
        """What is seen where there are several classes and one alone was predicted; None elsewhere."""
        true, predicted = self.counts.any(axis=1), self.counts.any(axis=0)
        if true.sum() < 2 or predicted.sum() != 1:
            return None
        only = self.labels[int(predicted.argmax())]
        return f"validation has {counted(int(true.sum()), 'class')}; every answer is {only!r}"


class MultiLabelMetric:
    """Micro and macro F1 of texts with any number of labels."""

    def __init__(self, labels: Sequence[str]):
        self.labels = list(labels)
        # For each label: true positives, texts that were given it, texts that have it. In the last row: texts whose
        # labels are all right, and all texts.
        self.counts: Int64[np.ndarray, "rows 3"] = np.zeros((len(labels) + 1, 3), dtype=np.int64)

    def update(self, predictions: Int[np.ndarray, "batch labels"], labels: Int[np.ndarray, "batch labels"]) -> None:
        """Count a batch; 1 where a text has the label, 0 where it has not."""
        self.counts[:-1] += np.stack(((predictions & labels).sum(0), predictions.sum(0), labels.sum(0)), axis=-1)
        self.counts[-1] += ((predictions == labels).all(1).sum(), len(labels), 0)

    def result(self) -> dict[str, float]:
        """`micro_f1` over all answers, with `precision` and `recall`; `macro_f1` over the labels that occur;
        `exact_match`, the share of texts with exactly their labels; and each label's `class/LABEL_f1`."""
        rows, (exact, texts, _) = self.counts[:-1], self.counts[-1].tolist()
        precision, recall, micro = _rates(rows.sum(axis=0))
        f1 = {name: _rates(row)[2] for name, row in zip(self.labels, rows, strict=True) if row.any()}
        return {
            "micro_f1": micro,
            "macro_f1": float(np.mean(list(f1.values()))) if f1 else 0.0,
            "precision": precision,
            "recall": recall,
            "exact_match": exact / texts if texts else 0.0,
            # No name of a label makes a name of another metric.
            **{f"class/{name}_f1": value for name, value in f1.items()},
        }

    @property
    def standstill(self) -> str | None:
        """What is seen where texts have labels and not one was found; None elsewhere."""
        right, predicted, true = self.counts[:-1].sum(axis=0).tolist()
        if right or not true:
            return None
        return f"validation has {counted(true, 'label')}; none was found, {predicted:,} were answered"


def _rates(counts: Int64[np.ndarray, "3"]) -> tuple[float, float, float]:
    """Precision, recall and F1 of (true positives, predicted, true); a quotient with 0 below is 0."""
    right, predicted, true = counts.tolist()
    return (
        right / predicted if predicted else 0.0,
        right / true if true else 0.0,
        2 * right / (predicted + true) if predicted + true else 0.0,
    )
