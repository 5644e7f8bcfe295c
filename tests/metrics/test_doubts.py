"""Metrics that should not be believed as they stand are said aloud, others are not."""

import math

import numpy as np
import pytest

from reformer.metrics.doubts import doubts
from reformer.metrics.forecasting import ForecastMetric


def test_metrics_of_a_usual_run_are_not_doubted():
    assert list(doubts({"f1": 0.0, "accuracy": 1.0, "documents": 0, "mase": 0.7, "constant_forecasts": 0.2})) == []


@pytest.mark.parametrize(
    ("metrics", "line"),
    [
        ({"heat_mase": math.nan}, "heat_mase is NaN"),
        ({"mase": 0.0, "mae": 0.0, "rmse": 0.1}, "mase, mae of exactly 0"),
        ({"mase": 0.7, "constant_forecasts": 1.0}, "every forecast is one number although the series changes"),
    ],
)
def test_a_doubtful_metric_is_one_line(metrics, line):
    [found] = doubts(metrics)
    assert found.startswith(line)


def test_forecasts_of_one_number_are_counted_where_the_series_changes():
    metric = ForecastMetric(["a"], [1.0])
    values = np.array([[1.0, 2.0], [3.0, 3.0], [np.nan, 5.0], [1.0, 4.0]])[..., None]
    metric.update(np.array([[7.0, 7.0], [7.0, 7.0], [7.0, 7.0], [1.0, 2.0]])[..., None], values)
    assert metric.result()["constant_forecasts"] == 0.5


def test_errors_keep_their_size_beyond_the_squares_that_a_float_holds():
    for unit in (1e-200, 1e200):
        metric = ForecastMetric(["a"], [2 * unit])
        metric.update(np.array([[[3 * unit]]]), np.array([[[2 * unit]]]))
        assert metric.result()["rmse"] == pytest.approx(unit)
        assert metric.result()["mase"] == 0.5
