"""Logistic regression over tf-idf of n-grams: the classical classifier of texts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int
from numpy import ndarray

from reformer.baselines.logistic import LogisticClassifier
from reformer.nn.ngrams import group_rows, groups_before

FOLDS = 5
"""Parts of the training sequences, each of which is read by a classifier that was fitted to the others."""
MIN_DOCUMENTS = 2
"""An n-gram of a single document tells which document it is, and nothing else."""

Sequences = Sequence[Int[ndarray, " _"]]


@dataclass(frozen=True)
class Budget:
    """Bounds that keep a fit within about a minute on one core.

    Args:
        tokens: of all training sequences; of more, evenly spread ones are taken.
        products: n-grams of all training sequences times labels.
        weights: n-grams that are told apart times labels; the most frequent ones are.
    """

    tokens: int = 4_000_000
    products: int = 60_000_000
    weights: int = 1_000_000

    def times(self, share: float) -> "Budget":
        """The bounds of a fit that may take this share of the time; as many n-grams are told apart."""
        return replace(self, tokens=max(1, round(share * self.tokens)), products=max(1, round(share * self.products)))


@dataclass(frozen=True)
class NgramClassifier:
    """Linear classifier over the n-grams that end at each token of a sequence, hashed to rows.

    A row counts `1 + log(count)` times its inverse document frequency, and a sequence's values have norm 1 together.
    """

    sizes: tuple[int, ...]
    frequencies: Float64[ndarray, " rows"]
    """The inverse document frequency of each row; 0 for those that say nothing."""
    kept: Int[ndarray, " kept"]
    """The rows that say something."""
    classifier: LogisticClassifier
    learned_from: int
    """The number of training sequences that were read."""

    @classmethod
    def fit(
        cls,
        sequences: Sequences,
        labels: Int[ndarray, "sequences *labels"],
        held_out: tuple[Sequences, Int[ndarray, "held_out *labels"]],
        *,
        num_labels: int,
        sizes: Sequence[int] = (1, 2, 3),
        rows: int = 1 << 20,
        budget: Budget | None = None,
    ) -> "NgramClassifier":
        """Fit it, with the penalty that is best on what is held out.

        Args:
            sequences: token ids, or code points.
            labels: of each, from 0 to `num_labels - 1`; or of several, `[sequences, labels]`, ones and zeros.
            sizes: how many tokens the n-grams have.
            rows: how many rows they are hashed to.
        """
        budget = budget or Budget()
        sequences, labels = _within(sequences, labels, budget.tokens)
        counts = ngram_counts(sequences, sizes, rows)
        documents = np.bincount(counts.indices, minlength=rows)
        kept = _most_frequent(documents, min(MIN_DOCUMENTS, len(sequences)), max(1, budget.weights // num_labels))
        frequencies = np.zeros(rows)
        frequencies[kept] = np.log((1 + len(sequences)) / (1 + documents[kept])) + 1
        inputs = scaled(counts, frequencies)[:, kept]
        fewer = max(1, -(-inputs.nnz * num_labels // budget.products))
        inputs, labels = inputs[::fewer], labels[::fewer]
        checked = scaled(ngram_counts(held_out[0], sizes, rows), frequencies)[:, kept]
        fitted = LogisticClassifier.fit(inputs, labels, (checked, held_out[1]), num_labels)
        return cls(tuple(sizes), frequencies, kept, fitted, len(labels))

    def logits(self, sequences: Sequences) -> Float64[ndarray, "sequences labels"]:
        """The logits of each label."""
        counts = ngram_counts(sequences, self.sizes, len(self.frequencies))
        return self.classifier.logits(scaled(counts, self.frequencies)[:, self.kept])

    def cross_fitted_logits(
        self, sequences: Sequences, labels: Int[ndarray, "sequences *labels"], *, folds: int = FOLDS
    ) -> Float64[ndarray, "sequences labels"]:
        """The logits of the training sequences as of new ones: of each by a classifier with the same penalty that was
        fitted without its fold. A label that the other folds do not have gets the least logit of all.

        Args:
            labels: as `fit` was given them. Folds have equal shares of each label, where a sequence has one.
        """
        inputs = scaled(ngram_counts(sequences, self.sizes, len(self.frequencies)), self.frequencies)[:, self.kept]
        order = np.argsort(labels, kind="stable") if labels.ndim == 1 else np.arange(len(labels))
        fold = np.empty(len(labels), dtype=np.int64)
        fold[order] = np.arange(len(labels)) % folds
        num_labels = len(self.classifier.bias)
        logits = np.zeros((len(labels), num_labels))
        for number in range(folds):
            here = fold == number
            others = np.flatnonzero(~here)
            # No more than the whole fit has read, or this takes more than that took.
            others = others[:: max(1, -(-len(others) // self.learned_from))]
            if not here.any() or not len(others):
                continue
            taught = labels[others]
            found = LogisticClassifier.fit_with(inputs[others], taught, num_labels, self.classifier.penalty)
            values = found.logits(inputs[here])
            present = np.isin(np.arange(num_labels), taught) if labels.ndim == 1 else taught.any(0)
            if present.any():
                values[:, ~present] = values[:, present].min(1, keepdims=True)
            logits[here] = values
        return logits


def code_points(text: str) -> Int[ndarray, " length"]:
    """The code points of a text, which stand for its characters as token ids do for its tokens."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.int64)


def ngram_counts(sequences: Sequences, sizes: Sequence[int], rows: int) -> Any:
    """How often each row is met in each sequence, as a sparse matrix of SciPy, `[sequences, rows]`."""
    from scipy.sparse import csr_matrix, vstack

    parts = [csr_matrix((0, rows))]
    for portion in _portions(sequences):
        gap = np.zeros(max(sizes), dtype=np.int64)
        known = torch.from_numpy(np.concatenate([part for each in portion for part in (each + 1, gap)]))
        number = np.repeat(np.arange(len(portion)), [len(each) + len(gap) for each in portion])
        found = group_rows(known[None], groups_before(sizes), rows)[0].numpy() + number[:, None] * rows
        keys, counts = np.unique(found[known.numpy() > 0], return_counts=True)
        places_of = (keys // rows, keys % rows)
        parts.append(csr_matrix((counts.astype(np.float64), places_of), shape=(len(portion), rows)))
    return vstack(parts, format="csr")


def _portions(sequences: Sequences) -> Iterable[Sequences]:
    """The sequences, a million tokens at a time."""
    begin = tokens = 0
    for end, sequence in enumerate(sequences, 1):
        tokens += len(sequence)
        if tokens >= 1 << 20 or end == len(sequences):
            yield sequences[begin:end]
            begin, tokens = end, 0


def scaled(counts: Any, frequencies: Float64[ndarray, " rows"]) -> Any:
    """The values of each sequence in tf-idf, of norm 1; 0 where none of its n-grams is known."""
    from sklearn.preprocessing import normalize

    values = counts.copy()
    values.data = (1 + np.log(values.data)) * frequencies[values.indices]
    values.eliminate_zeros()
    return normalize(values)


def _most_frequent(documents: Int[ndarray, " rows"], least: int, most: int) -> Int[ndarray, " kept"]:
    """The rows that at least so many documents have, at most so many of them: the most frequent ones."""
    found = np.flatnonzero(documents >= least)
    if len(found) > most:
        found = np.sort(found[np.argsort(-documents[found], kind="stable")[:most]])
    return found


def _within(
    sequences: Sequences, labels: Int[ndarray, "sequences *labels"], tokens: int
) -> tuple[Sequences, Int[ndarray, "fewer *labels"]]:
    """The sequences and their labels; of more tokens than so many, evenly spread sequences."""
    total = sum(map(len, sequences))
    if total <= tokens:
        return sequences, labels
    chosen = np.unique(np.linspace(0, len(sequences) - 1, max(1, len(sequences) * tokens // total)).astype(np.int64))
    return [sequences[index] for index in chosen], labels[chosen]
