"""Seasonal naive forecast: the last season, repeated."""

import numpy as np
from jaxtyping import Float64
from numpy import ndarray


def repeated_season(
    values: Float64[ndarray, "batch length channels"], season: int, horizon: int
) -> Float64[ndarray, "batch horizon channels"]:
    """The last season again and again, each of its steps with the last value that was observed there.

    Args:
        values: at least a season of them, NaN where nothing was observed.
    """
    cut = values[:, values.shape[1] % season :]
    seasons = cut.reshape(len(values), -1, season, values.shape[2])
    last = seasons[:, 0]
    for number in range(1, seasons.shape[1]):
        last = np.where(np.isfinite(seasons[:, number]), seasons[:, number], last)
    # A step of the season that was never observed: the mean of those that were, or nothing is known at all.
    observed = np.isfinite(last)
    known = observed.sum(1, keepdims=True)
    mean = np.where(observed, last, 0).sum(1, keepdims=True) / np.maximum(known, 1)
    last = np.where(observed, last, mean)
    return np.concatenate([last] * -(-horizon // season), 1)[:, :horizon]
