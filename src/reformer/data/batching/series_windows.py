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


class SeriesWindows(Dataset[dict[str, NDArray[np.float32]]]):
    """Forecasts to make: an item's index is that of its first step to foretell, in `origins`.

    Args:
        series: what is known, before and after.
        context: how many steps a forecast is made from; where there are fewer, NaNs stand before them.
        horizon: how many steps it foretells.
        first, last: between which steps what is foretold has to lie.
        every: the distance of two forecasts.
    """

    def __init__(self, series: Series, context: int, horizon: int, first: int, last: int, every: int = 1) -> None:
        self.series, self.context, self.horizon = series, context, horizon
        # As much has to be known as is asked.
        origins = np.arange(max(first, horizon), last - horizon + 1, every)
        known = np.isfinite(series.values).any(axis=-1).astype(bool)
        some = [known[at : at + horizon].any() and known[max(0, at - context) : at].any() for at in origins]
        self.origins = origins[np.array(some, dtype=bool)]
        self._features = time_features(np.append(series.dates, series.dates_after(horizon)))
        self._values = series.values.astype(np.float32)

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, index: int) -> dict[str, NDArray[np.float32]]:
        at = int(self.origins[index])
        return self.window(at) | {"labels": self._values[at : at + self.horizon]}

    def with_context(self, context: int) -> Self:
        """The same forecasts, made from so many steps."""
        other = copy.copy(self)
        other.context = context
        return other

    def window(self, at: int) -> dict[str, NDArray[np.float32]]:
        """What a forecast from step `at` on is made from."""
        missing, begin = max(0, self.context - at), max(0, at - self.context)
        return {
            "values": np.pad(self._values[begin:at], ((missing, 0), (0, 0)), constant_values=np.nan),
            "time_features": np.pad(self._features[begin : at + self.horizon], ((missing, 0), (0, 0))),
        }


def stack(windows: Sequence[dict[str, NDArray[np.float32]]]) -> dict[str, Tensor]:
    """Windows of equal lengths as a batch."""
    return {name: torch.from_numpy(np.stack([window[name] for window in windows])) for name in windows[0]}
