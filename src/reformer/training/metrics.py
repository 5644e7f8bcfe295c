"""Scores kept as counts, so that measuring a million documents takes the memory of one batch."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reformer.data import IGNORED, Span

Integers = NDArray[np.integer]


class Score(Protocol):
    """Counts, which add up over batches and processes, and what follows from them."""

    counts: NDArray[Any]

    def result(self) -> dict[str, float]:
        """The measures by name."""
        ...


class EntityScore:
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


class ClassScore:
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


class ForecastScore:
    """How far forecasts are from what came: errors in the series' own units, and beside those of the last season.

    Args:
        columns: the channels' names.
        season_errors: by how much each channel differs from itself a season before, on average over what was learned
            (Hyndman and Koehler 2006): MASE 1 is as good as repeating the last season was there.
        quantiles: the levels that are foretold, in order.
    """

    def __init__(self, columns: Sequence[str], season_errors: Sequence[float], quantiles: Sequence[float] = ()):
        self._columns, self._scale, self._levels = columns, np.array(season_errors), list(quantiles)
        # For each channel: how many steps, absolute and squared errors, those between the outermost quantiles.
        self.counts = np.zeros((len(columns), 4), dtype=np.float64)

    def update(
        self, found: NDArray[np.floating], known: NDArray[np.floating], quantiles: NDArray[np.floating] | None = None
    ) -> None:
        """Count forecasts, `[batch, horizon, channels]`, against what is known, NaN where nothing is."""
        there = np.isfinite(known)
        error = np.where(there, found - known, 0).astype(np.float64)
        inside = np.zeros_like(there)
        if quantiles is not None:
            inside = there & (quantiles[..., 0] <= known) & (known <= quantiles[..., -1])
        for column, counted in enumerate((there, np.abs(error), error**2, inside)):
            self.counts[:, column] += counted.sum((0, 1))

    def result(self) -> dict[str, float]:
        """`mase`, `mae` and `rmse`, means over the channels; with several quantiles `coverage`, the part of what came
        that lies between the outermost; of several channels each `COLUMN_mase`."""
        steps, absolute, squared, inside = self.counts.T
        with np.errstate(divide="ignore", invalid="ignore"):
            mae, rmse = absolute / steps, np.sqrt(squared / steps)
        mase = mae / self._scale
        measures = {"mase": _mean(mase), "mae": _mean(mae), "rmse": _mean(rmse)}
        if len(self._levels) > 1:
            measures["coverage"] = float(inside.sum() / max(steps.sum(), 1))
        if len(self._columns) > 1:
            measures |= {f"{name}_mase": float(value) for name, value in zip(self._columns, mase, strict=True)}
        return measures


def _mean(values: NDArray[np.floating]) -> float:
    """The mean of what could be measured."""
    found = values[np.isfinite(values)]
    return float(found.mean()) if len(found) else math.nan


class TextScore:
    """How well a text was foreseen: bits for each of its bytes, and perplexity over its tokens.

    Args:
        bytes_per_token: of the whole text, so that measures do not depend on what a token is.
    """

    def __init__(self, bytes_per_token: float):
        self._bytes_per_token = bytes_per_token
        # The sum of the tokens' losses, in nats, and how many they are.
        self.counts = np.zeros(2, dtype=np.float64)

    def update(self, loss: float, tokens: int) -> None:
        """Count a batch by its summed loss."""
        self.counts += (loss, tokens)

    def result(self) -> dict[str, float]:
        """`bits_per_byte`, `perplexity`, and over how many `tokens`."""
        loss, tokens = self.counts.tolist()
        mean = loss / tokens if tokens else math.nan
        return {
            "bits_per_byte": bits_per_byte(mean, self._bytes_per_token),
            "perplexity": perplexity(mean),
            "tokens": int(tokens),
        }


class HiddenTokenScore:
    """How well hidden tokens were found again: perplexity over them, and how many were the likeliest guess."""

    def __init__(self) -> None:
        # The sum of the hidden tokens' losses, in nats, how many were guessed rightly, and how many they are.
        self.counts = np.zeros(3, dtype=np.float64)

    def update(self, loss: float, right: int, hidden: int) -> None:
        """Count a batch by its summed loss."""
        self.counts += (loss, right, hidden)

    def result(self) -> dict[str, float]:
        """`perplexity`, `accuracy`, and over how many `hidden` tokens."""
        loss, right, hidden = self.counts.tolist()
        return {
            "perplexity": perplexity(loss / hidden if hidden else math.nan),
            "accuracy": right / hidden if hidden else 0.0,
            "hidden": int(hidden),
        }


def bits_per_byte(loss: float, bytes_per_token: float) -> float:
    """A mean loss in nats a token as bits a byte of text."""
    return loss / math.log(2) / bytes_per_token


def perplexity(loss: float) -> float:
    """The exponential of a mean loss; infinite where that is too large for a number."""
    return math.exp(loss) if loss < 709 else math.inf


def _rates(counts: Integers) -> tuple[float, float, float]:
    """Precision, recall and F1 of (right, predicted, there); what would divide by zero is zero."""
    right, predicted, there = counts.tolist()
    return (
        right / predicted if predicted else 0.0,
        right / there if there else 0.0,
        2 * right / (predicted + there) if predicted + there else 0.0,
    )
