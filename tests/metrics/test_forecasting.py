"""Forecast errors, over what was observed, whatever batches they came in."""

import math

import numpy as np
import pytest

from reformer.metrics.forecasting import ForecastMetric

VALUES = np.array([[[1.0, 10.0], [2.0, np.nan]], [[3.0, 30.0], [4.0, 50.0]]])
PREDICTIONS = np.array([[[2.0, 10.0], [2.0, 99.0]], [[3.0, 40.0], [1.0, 50.0]]])


def test_errors_are_means_over_the_channels():
    metric = ForecastMetric(["a", "b"], [0.5, 5.0])
    metric.update(PREDICTIONS, VALUES)
    mae = (1 + 3) / 4, 10 / 3
    result = metric.result()
    assert result["mae"] == pytest.approx(np.mean(mae))
    assert result["rmse"] == pytest.approx((math.sqrt(10 / 4) + math.sqrt(100 / 3)) / 2)
    assert result["a_mase"] == pytest.approx(mae[0] / 0.5)
    assert result["b_mase"] == pytest.approx(mae[1] / 5)
    assert result["mase"] == pytest.approx((mae[0] / 0.5 + mae[1] / 5) / 2)
    assert "coverage" not in result


def test_coverage_is_the_fraction_inside_the_outermost_quantiles():
    metric = ForecastMetric(["a", "b"], [1.0, 1.0], [0.1, 0.5, 0.9])
    quantiles = np.stack([PREDICTIONS - 1, PREDICTIONS, PREDICTIONS + 1], -1)
    metric.update(PREDICTIONS, VALUES, quantiles)
    assert metric.result()["coverage"] == pytest.approx(5 / 7)


def test_counts_add_up():
    whole, first, second = (ForecastMetric(["a", "b"], [1.0, 2.0]) for _ in range(3))
    whole.update(PREDICTIONS, VALUES)
    first.update(PREDICTIONS[:1], VALUES[:1])
    second.update(PREDICTIONS[1:], VALUES[1:])
    first.counts += second.counts
    assert first.result() == whole.result()


def test_a_channel_without_a_value_is_left_out_and_none_is_nan():
    metric = ForecastMetric(["a", "b"], [1.0, 1.0])
    assert math.isnan(metric.result()["mae"])
    metric.update(np.ones((1, 2, 2)), np.array([[[0.0, np.nan], [0.0, np.nan]]]))
    assert metric.result()["mae"] == 1.0


def test_a_wrong_shape_is_noticed():
    with pytest.raises(Exception, match="channels"):
        ForecastMetric(["a"], [1.0]).update(np.zeros((1, 2, 1)), np.zeros((1, 2, 3)))


def test_smape_is_a_percentage_of_the_mean_of_both_sizes():
    metric = ForecastMetric(["a"], [1.0])
    # Of 3 and 1: 2 / 2. Of 0 and 0: nothing is wrong. Where nothing was observed nothing counts.
    metric.update(np.array([[[3.0], [0.0], [7.0]]]), np.array([[[1.0], [0.0], [np.nan]]]))
    assert metric.result()["smape"] == pytest.approx((100 + 0) / 2)


def test_pinball_loss_is_in_units_of_the_season_error():
    metric = ForecastMetric(["a"], [2.0], [0.1, 0.5, 0.9])
    quantiles = np.array([[[[1.0, 4.0, 6.0]], [[0.0, 0.0, 0.0]]]])
    metric.update(quantiles[..., 1], np.array([[[3.0], [np.nan]]]), quantiles)
    # 3 lies 2 above the first, 1 below the second, 3 below the third.
    assert metric.result()["pinball"] == pytest.approx((0.1 * 2 + 0.5 * 1 + 0.1 * 3) / 3 / 2)
    assert metric.by_channel() == {
        "a": pytest.approx(
            {"mase": 0.5, "mae": 1, "rmse": 1, "smape": 200 / 7}
            | {
                "pinball": metric.result()["pinball"],
                "coverage": 1.0,
            }
        )
    }
