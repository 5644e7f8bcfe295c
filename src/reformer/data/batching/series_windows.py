"""Windows of context and horizon, cut from a time series."""

import copy
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from reformer.data.series import Series, time_features


class SeriesWindows(Dataset[dict[str, NDArray[np.floating]]]):
    """Windows of a series: `context` steps and the `horizon` steps after them; an item's index is a place in `origins`.

    Args:
        series: the series, with the values of the horizon.
        context: the number of steps before the forecast; where there are fewer, NaN stands before them.
        horizon: the number of predicted steps.
        first, last: the bounds of the predicted steps.
        every: the number of steps from one forecast to the next.
    """

    def __init__(self, series: Series, context: int, horizon: int, first: int, last: int, every: int = 1) -> None:
        self.series, self.context, self.horizon = series, context, horizon
        # With fewer steps before it than it predicts, a forecast would be made from little but padding.
        origins = np.arange(max(first, horizon), last - horizon + 1, every)
        # How much was observed before each step, in each channel.
        counts = np.pad(np.isfinite(series.values).cumsum(0), ((1, 0), (0, 0)))
        before = counts[origins] > counts[np.maximum(origins - context, 0)]
        self.origins = origins[(before & (counts[origins + horizon] > counts[origins])).any(-1)]
        """The first predicted step of each window."""
        self._features = time_features(np.append(series.dates, series.dates_after(horizon)))
        # In float64 until the model has scaled them: float32 has seven digits, and a series may change in its ninth.
        self._values = series.values

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, index: int) -> dict[str, NDArray[np.floating]]:
        at = int(self.origins[index])
        window = self.window(at)
        # Nothing can be said of a channel of which nothing is known, nor learned.
        known = np.isfinite(window["values"]).any(0)
        return window | {"labels": np.where(known, self._values[at : at + self.horizon], np.nan)}

    def with_context(self, context: int) -> Self:
        """The same forecasts from a context of so many steps."""
        other = copy.copy(self)
        other.context = context
        return other

    def window(self, at: int) -> dict[str, NDArray[np.floating]]:
        """What is known for a forecast from step `at` on: values, features of the dates, covariates."""
        missing, begin = max(0, self.context - at), max(0, at - self.context)
        window = {
            "values": np.pad(self._values[begin:at], ((missing, 0), (0, 0)), constant_values=np.nan),
            "time_features": np.pad(self._features[begin : at + self.horizon], ((missing, 0), (0, 0))),
        }
        told = self.series.covariates
        if told is not None:
            known = told.known[begin : at + self.horizon]
            window["known"] = np.pad(known, ((missing, 0), (0, 0), (0, 0)), constant_values=np.nan)
            window["static"] = told.static
        return window


def stack(windows: Sequence[dict[str, NDArray[np.floating]]]) -> dict[str, Tensor]:
    """Windows of equal lengths as a batch."""
    return {name: torch.from_numpy(np.stack([window[name] for window in windows])) for name in windows[0]}
