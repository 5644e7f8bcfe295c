"""The seasonal naive forecast, with gaps and where a season is known in part."""

import numpy as np

from reformer.baselines.seasonal_naive import repeated_season


def _channel(*values):
    return np.array(values, dtype=np.float64)[None, :, None]


def test_the_last_season_comes_again():
    assert repeated_season(_channel(9, 1, 2, 3, 4, 5, 6), 3, 5)[0, :, 0].tolist() == [4, 5, 6, 4, 5]
    assert repeated_season(_channel(1, 2, 3), 1, 2)[0, :, 0].tolist() == [3, 3]


def test_a_gap_has_the_number_of_the_season_before_or_the_mean():
    assert repeated_season(_channel(1, 2, 3, 4, np.nan, 6), 3, 3)[0, :, 0].tolist() == [4, 2, 6]
    assert repeated_season(_channel(1, np.nan, 3, 4, np.nan, 6), 3, 3)[0, :, 0].tolist() == [4, 5, 6]
