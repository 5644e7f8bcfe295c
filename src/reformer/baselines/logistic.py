"""Logistic regression with the ridge penalty that is best on what is held out."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int
from numpy import ndarray

PENALTIES = (1.0, 4.0, 16.0)
"""Inverse strengths of the penalty that are tried."""
ITERATIONS = 100
ABSENT = -20.0
"""The bias of a label that does not occur."""


@dataclass(frozen=True)
class LogisticClassifier:
    """Multinomial logistic regression, as scikit-learn fits it."""

    coefficients: Float64[ndarray, "inputs labels"]
    bias: Float64[ndarray, " labels"]
    penalty: float

    @classmethod
    def fit(
        cls,
        inputs: Any,
        labels: Int[ndarray, " rows"],
        held_out: tuple[Any, Int[ndarray, " held_out"]],
        num_labels: int,
    ) -> "LogisticClassifier":
        """Fit it with each penalty, and keep the one with the best accuracy on what is held out.

        Args:
            inputs: an array, or a sparse matrix of SciPy, `[rows, inputs]`.
            labels: of each row, from 0 to `num_labels - 1`.
        """
        tried = [cls(*_fitted(inputs, labels, num_labels, penalty), penalty) for penalty in PENALTIES]
        return max(tried, key=lambda found: int((found.logits(held_out[0]).argmax(1) == held_out[1]).sum()))

    def logits(self, inputs: Any) -> Float64[ndarray, "rows labels"]:
        """The logits of each label."""
        return inputs @ self.coefficients + self.bias


def _fitted(
    inputs: Any, labels: Int[ndarray, " rows"], num_labels: int, penalty: float
) -> tuple[Float64[ndarray, "inputs labels"], Float64[ndarray, " labels"]]:
    """Coefficients and biases; of labels that do not occur, the bias alone, which keeps them away."""
    from sklearn.linear_model import LogisticRegression

    coefficients, bias = np.zeros((inputs.shape[1], num_labels)), np.full(num_labels, ABSENT)
    present = np.unique(labels)
    if len(present) == 1:
        bias[present] = 0
        return coefficients, bias
    model: Any = LogisticRegression(C=penalty, max_iter=ITERATIONS)
    with warnings.catch_warnings():
        # It says that the iterations were not enough, and so many are what there is time for.
        warnings.simplefilter("ignore")
        model.fit(inputs, labels)
    found, offset = model.coef_, model.intercept_
    if len(present) == 2:
        # The library keeps the second label's alone.
        found, offset = np.concatenate((-found, found)) / 2, np.concatenate((-offset, offset)) / 2
    coefficients[:, present], bias[present] = found.T, offset
    return coefficients, bias
