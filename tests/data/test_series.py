"""Grids of dates, and the features of a date."""

import numpy as np
import pytest

from reformer.data import time_features
from reformer.data.cadence import Cadence


@pytest.mark.parametrize(
    ("first", "step", "unit", "expected"),
    [
        ("2024-02-28T23:00:00", 3600, "s", ["2024-02-28T23:00:00", "2024-02-29T00:00:00", "2024-02-29T01:00:00"]),
        ("2023-12-15T06:00:00", 1, "M", ["2023-12-15T06:00:00", "2024-01-15T06:00:00", "2024-02-15T06:00:00"]),
        ("2023-01-01T00:00:00", 12, "M", ["2023-01-01T00:00:00", "2024-01-01T00:00:00", "2025-01-01T00:00:00"]),
    ],
)
def test_a_grid_has_equal_steps_of_seconds_or_months(first, step, unit, expected):
    assert Cadence(step, unit).dates(np.datetime64(first), 3).astype(str).tolist() == expected


def test_time_features_turn_with_the_day_and_the_week():
    hours = np.datetime64("2024-03-04T00:00:00", "s") + np.arange(24 * 8) * np.timedelta64(3600, "s")
    features = time_features(hours)
    assert features.shape == (192, 6)
    assert np.allclose(features[0, [0, 1]], 0, atol=1e-6)  # midnight, on a Monday
    assert np.allclose(features[24:, 0], features[:-24, 0], atol=1e-5)
    assert np.allclose(features[168:, 1], features[:24, 1], atol=1e-5)
