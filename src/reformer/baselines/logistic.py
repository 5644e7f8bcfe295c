"""Logistic regression with the ridge penalty that is best on what is held out."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int
from numpy import ndarray

PENALTIES = (1.0, 4.0, 16.0, 64.0)
"""Inverse strengths of the penalty that are tried, in this order: each fit begins where the one before has ended."""
ITERATIONS = 100
ABSENT = -20.0
"""The bias of a label that does not occur."""


@dataclass(frozen=True)
class LogisticClassifier:
    """Multinomial logistic regression, as scikit-learn fits it; of several labels, one against the rest for each."""

    coefficients: Float64[ndarray, "inputs labels"]
    bias: Float64[ndarray, " labels"]
    penalty: float

    @classmethod
    def fit(
        cls,
        inputs: Any,
        labels: Int[ndarray, "rows *labels"],
        held_out: tuple[Any, Int[ndarray, "held_out *labels"]],
        num_labels: int,
    ) -> "LogisticClassifier":
        """Fit it with each penalty, and keep the one with the best accuracy on what is held out.

        Args:
            inputs: an array, or a sparse matrix of SciPy, `[rows, inputs]`.
            labels: of each row, from 0 to `num_labels - 1`; or of several, `[rows, labels]`, ones and zeros.
        """
        best, most = None, -1
        for found in _fitted(inputs, labels, num_labels):
            logits = found.logits(held_out[0])
            right = int(((logits > 0 if held_out[1].ndim == 2 else logits.argmax(1)) == held_out[1]).sum())
            if right > most:
                best, most = found, right
        assert best is not None
        return best

    @classmethod
    def fit_with(
        cls, inputs: Any, labels: Int[ndarray, "rows *labels"], num_labels: int, penalty: float
    ) -> "LogisticClassifier":
        """Fit it with one penalty."""
        (found,) = _fitted(inputs, labels, num_labels, (penalty,))
        return found

    def logits(self, inputs: Any) -> Float64[ndarray, "rows labels"]:
        """The logits of each label."""
        return inputs @ self.coefficients + self.bias


def _fitted(
    inputs: Any, labels: Int[ndarray, "rows *labels"], num_labels: int, penalties: Sequence[float] = PENALTIES
) -> Iterator[LogisticClassifier]:
    """The classifier with each penalty; labels that do not occur have a bias alone, which keeps them away."""
    from sklearn.linear_model import LogisticRegression

    if labels.ndim == 2:
        yield from _one_against_rest(inputs, labels, penalties)
        return
    present, counts = np.unique(labels, return_counts=True)
    if len(present) == 1 or inputs.shape[1] == 0:
        # Nothing to fit: each label by its share of the rows.
        bias = np.full(num_labels, ABSENT)
        bias[present] = np.log(counts / counts.sum())
        yield LogisticClassifier(np.zeros((inputs.shape[1], num_labels)), bias, penalties[0])
        return
    model: Any = LogisticRegression(max_iter=ITERATIONS, warm_start=True)
    for penalty in penalties:
        model.C = penalty
        with warnings.catch_warnings():
            # It says that the iterations were not enough, and so many are what there is time for.
            warnings.simplefilter("ignore")
            model.fit(inputs, labels)
        # Copies, as the next fit goes on from the library's own.
        found, offset = model.coef_.copy(), model.intercept_.copy()
        if len(present) == 2:
            # The library keeps the second label's alone.
            found, offset = np.concatenate((-found, found)) / 2, np.concatenate((-offset, offset)) / 2
        coefficients, bias = np.zeros((inputs.shape[1], num_labels)), np.full(num_labels, ABSENT)
        coefficients[:, present], bias[present] = found.T, offset
        yield LogisticClassifier(coefficients, bias, penalty)


def _one_against_rest(
    inputs: Any, labels: Int[ndarray, "rows labels"], penalties: Sequence[float]
) -> Iterator[LogisticClassifier]:
    """A classifier of two classes for each label, all with the same penalty; of each, the logit of having the label."""
    columns = [list(_fitted(inputs, column, 2, penalties)) for column in labels.T]
    for number, penalty in enumerate(penalties):
        # A label that all rows or none have is fitted with one.
        chosen = [each[min(number, len(each) - 1)] for each in columns]
        coefficients = np.stack([each.coefficients[:, 1] - each.coefficients[:, 0] for each in chosen], axis=1)
        yield LogisticClassifier(coefficients, np.array([each.bias[1] - each.bias[0] for each in chosen]), penalty)
