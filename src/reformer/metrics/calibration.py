"""Calibration of a run's answers: temperature, calibration error, thresholds, and shifts of quantiles."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from reformer.metrics.intervals import IntervalCalibration
from reformer.wording import counted

BINS = 15
MIN_ANSWERS = 20
"""Answers of a validation part below which a temperature says more about chance than about the model."""
LOWEST, HIGHEST = 0.05, 20.0
KEPT_SHARE = 0.8


@dataclass(frozen=True)
class Calibration:
    """What was fitted on the validation part for the probabilities of a run's answers (`docs/math.md`, 52), or for the
    quantiles of its forecasts (54)."""

    temperature: float | None = None
    """None where none was fitted: the probabilities are those of the model as it is."""
    reason: str | None = "the run was trained by a version that fitted none, or for a task without"
    """The reason why nothing was fitted."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Of several labels, the calibrated probability from which each is answered; of those that are not here, 0.5."""
    intervals: IntervalCalibration | None = None
    """Of forecasts, the shifts of their quantiles; None where none was fitted: they are those of the model as it is."""

    def of_one(self, probability: float) -> float:
        """The calibrated probability of an answer that is right or not."""
        return float(self.of_each(np.array([probability, 1 - probability]))[0])

    def of_each(self, probabilities: Float[ndarray, "*rows answers"]) -> Float[ndarray, "*rows answers"]:
        """The calibrated probabilities of answers of which one is right."""
        return probabilities if self.temperature is None else tempered(probabilities, self.temperature)


def tempered(probabilities: Float[ndarray, "*rows answers"], temperature: float) -> Float[ndarray, "*rows answers"]:
    """The probabilities with their logarithms divided by a temperature.

    >>> tempered(np.array([0.9, 0.1]), 2.0).round(3).tolist()
    [0.75, 0.25]
    """
    logarithms = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny)) / temperature
    weights = np.exp(logarithms - logarithms.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def fit_temperature(
    probabilities: Float[ndarray, "rows answers"], right: Int[ndarray, " rows"], hits: Bool[ndarray, " rows"]
) -> tuple[float | None, str | None]:
    """The temperature with the least negative log-likelihood, or None and the reason.

    Args:
        right: the answer of each row that is right.
        hits: whether the one that was given is.
    """
    from scipy.optimize import minimize_scalar

    if len(right) < MIN_ANSWERS:
        return None, f"the validation part has {counted(len(right), 'answer')}, and at least {MIN_ANSWERS} are needed"
    if hits.all() or not hits.any():
        told = "right" if hits.all() else "wrong"
        return None, f"each of the {counted(len(right), 'answer')} on the validation part is {told}"
    rows = np.arange(len(right))

    def surprisal(logarithm: float) -> float:
        chosen = tempered(probabilities, float(np.exp(logarithm)))[rows, right]
        return float(-np.log(np.maximum(chosen, np.finfo(np.float64).tiny)).mean())

    found = minimize_scalar(surprisal, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
    return float(np.exp(found.x)), None


def expected_calibration_error(
    scores: Float[ndarray, " answers"], right: Bool[ndarray, " answers"], bins: int = BINS
) -> float:
    """Mean distance of probability and share of right answers (`docs/math.md`, 53), over `bins` bins of equal width
    from 0 to 1, each weighed by its answers; 0 without answers. A bin has its upper bound and not its lower one, but
    for the first.

    >>> expected_calibration_error(np.full(4, 0.75), np.array([True, True, True, False]))
    0.0
    """
    if not len(scores):
        return 0.0
    numbers = np.clip(np.ceil(scores * bins).astype(np.int64) - 1, 0, bins - 1)
    differences = np.bincount(numbers, weights=right - scores, minlength=bins)
    return float(np.abs(differences).sum() / len(scores))


def confidence_metrics(scores: Float[ndarray, " answers"], right: Bool[ndarray, " answers"]) -> dict[str, int | float]:
    """How well probabilities tell right answers from wrong ones.

    `answers`, `precision` of all, `precision_of_kept`: that of the 80 % with the highest probability, `kept_from`: the
    least of these. Of equal ones all are kept.
    """
    found: dict[str, int | float] = {"answers": len(scores)}
    if len(scores):
        least = float(np.sort(scores)[::-1][int(np.ceil(KEPT_SHARE * len(scores))) - 1])
        found |= {
            "precision": float(right.mean()),
            "kept_from": least,
            "precision_of_kept": float(right[scores >= least].mean()),
        }
    return found


def best_threshold(probabilities: Float[ndarray, " rows"], right: Bool[ndarray, " rows"]) -> float | None:
    """The threshold with the highest F1, in the middle between two probabilities; None where no row is right.

    >>> best_threshold(np.array([0.9, 0.4, 0.2]), np.array([True, True, False])).__round__(3)
    0.3
    """
    if not right.any():
        return None
    order = np.argsort(-probabilities, kind="stable")
    ranked, hits = probabilities[order], right[order].cumsum()
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + right.sum())
    # Equal probabilities are answered together or not at all.
    last = np.append(ranked[:-1] != ranked[1:], True)
    best = int(np.where(last, f1, -1.0).argmax())
    following = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    return float((ranked[best] + following) / 2)
