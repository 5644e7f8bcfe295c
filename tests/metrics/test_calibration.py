"""Calibration: one temperature, the calibration error by its definition, thresholds."""

import numpy as np
import pytest

from reformer.metrics.calibration import (
    MIN_ANSWERS,
    Calibration,
    best_threshold,
    confidence_metrics,
    expected_calibration_error,
    fit_temperature,
    tempered,
)


def _softmax(logits):
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def test_a_temperature_divides_the_logits():
    logits = np.random.default_rng(0).normal(size=(6, 4)) * 5
    assert np.allclose(tempered(_softmax(logits), 2.5), _softmax(logits / 2.5))
    assert np.allclose(tempered(tempered(_softmax(logits), 2.5), 1 / 2.5), _softmax(logits))
    assert tempered(np.array([[1.0, 0.0]]), 3.0).sum() == 1


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_the_temperature_that_made_the_answers_is_found_again(true):
    random = np.random.default_rng(1)
    logits = random.normal(size=(20000, 3)) * 2
    right = np.array([random.choice(3, p=row) for row in _softmax(logits)])
    overconfident = _softmax(logits * true)
    found, reason = fit_temperature(overconfident, right, overconfident.argmax(1) == right)
    assert reason is None
    assert found == pytest.approx(true, rel=0.05)
    rows, given = np.arange(len(right)), overconfident.argmax(1)
    after = tempered(overconfident, found)[rows, given]
    assert expected_calibration_error(after, given == right) < 0.02
    if true == 3.0:
        assert expected_calibration_error(overconfident[rows, given], given == right) > 0.1


def test_where_nothing_can_be_fitted_the_reason_is_said():
    rows = np.full((MIN_ANSWERS, 2), 0.5)
    zeros = np.zeros(MIN_ANSWERS, dtype=np.int64)
    assert (
        fit_temperature(rows, zeros, zeros == 0)[1]
        == f"each of the {MIN_ANSWERS} answers on the validation part is right"
    )
    assert fit_temperature(rows, zeros, zeros == 1)[1].endswith("part is wrong")
    found, reason = fit_temperature(rows[1:], zeros[1:], zeros[1:] == 0)
    assert found is None
    assert reason == f"the validation part has {MIN_ANSWERS - 1} answers, and at least {MIN_ANSWERS} are needed"
    assert Calibration(None, reason).of_one(0.7) == 0.7


def test_the_calibration_error_is_that_of_its_bins():
    random = np.random.default_rng(2)
    scores, right = random.random(500), random.random(500) < 0.6
    expected = 0.0
    for number in range(15):
        inside = (scores > number / 15) & (scores <= (number + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - scores[inside].mean())
    assert expected_calibration_error(scores, right) == pytest.approx(expected)
    assert expected_calibration_error(np.array([0.0, 1.0]), np.array([False, True])) == 0
    assert expected_calibration_error(np.zeros(0), np.zeros(0, dtype=bool)) == 0


def test_the_most_confident_answers_are_kept():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    found = confidence_metrics(scores, np.array([True, True, True, False, False]))
    assert found == {"answers": 5, "precision": 0.6, "kept_from": 0.6, "precision_of_kept": 0.75}
    assert confidence_metrics(np.zeros(0), np.zeros(0, dtype=bool)) == {"answers": 0}


def test_no_other_threshold_has_a_higher_f1():
    random = np.random.default_rng(3)
    for _ in range(50):
        scores = random.integers(0, 10, 30) / 10
        right = random.random(30) < 0.2 + 0.6 * scores
        if not right.any():
            continue

        def f1(threshold, scores=scores, right=right):
            given = scores >= threshold
            return 2 * (given & right).sum() / (given.sum() + right.sum())

        assert f1(best_threshold(scores, right)) == pytest.approx(max(f1(each) for each in np.arange(0, 1.01, 0.05)))
    assert best_threshold(np.array([0.3]), np.array([False])) is None
