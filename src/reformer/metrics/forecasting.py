"""Forecast errors: MASE, MAE, RMSE, coverage."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class ForecastMetric:
    """How far forecasts are from what came: errors in the series' own units, and beside those of the last season.

    Args:
        columns: the channels' names.
        season_errors: by how much each channel differs from itself a season before, on average over what was learned
            (Hyndman and Koehler 2006): MASE 1 is as good as repeating the last season was there.
        quantiles: the levels that are foretold, in order.
    """

    def __init__(self, columns: Sequence[str], season_errors: Sequence[float], quantiles: Sequence[float] = ()):
        self._columns, self._scale, self._levels = columns, np.array(season_errors), list(quantiles)
        # For each channel: how many steps, absolute and squared errors, those between the outermost quantiles.
        self.counts = np.zeros((len(columns), 4), dtype=np.float64)

    def update(
        self, found: NDArray[np.floating], known: NDArray[np.floating], quantiles: NDArray[np.floating] | None = None
    ) -> None:
        """Count forecasts, `[batch, horizon, channels]`, against what is known, NaN where nothing is."""
        there = np.isfinite(known)
        error = np.where(there, found - known, 0).astype(np.float64)
        inside = np.zeros_like(there)
        if quantiles is not None:
            inside = there & (quantiles[..., 0] <= known) & (known <= quantiles[..., -1])
        for column, counted in enumerate((there, np.abs(error), error**2, inside)):
            self.counts[:, column] += counted.sum((0, 1))

    def result(self) -> dict[str, float]:
        """`mase`, `mae` and `rmse`, means over the channels; with several quantiles `coverage`, the part of what came
        that lies between the outermost; of several channels each `COLUMN_mase`."""
        steps, absolute, squared, inside = self.counts.T
        with np.errstate(divide="ignore", invalid="ignore"):
            mae, rmse = absolute / steps, np.sqrt(squared / steps)
        mase = mae / self._scale
        measures = {"mase": _mean(mase), "mae": _mean(mae), "rmse": _mean(rmse)}
        if len(self._levels) > 1:
            measures["coverage"] = float(inside.sum() / max(steps.sum(), 1))
        if len(self._columns) > 1:
            measures |= {f"{name}_mase": float(value) for name, value in zip(self._columns, mase, strict=True)}
        return measures


def _mean(values: NDArray[np.floating]) -> float:
    """The mean of what could be measured."""
    found = values[np.isfinite(values)]
    return float(found.mean()) if len(found) else math.nan
