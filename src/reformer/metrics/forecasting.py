"""Forecast errors: MASE, MAE, RMSE, coverage."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64


class ForecastMetric:
    """Errors of forecasts: MAE and RMSE in the series' own units, MASE relative to repeating the last season, and the
    coverage of the interval between the outermost quantiles.

    Args:
        columns: the channels' names.
        season_errors: each channel's mean absolute difference from its value a season before, over the training part
            (Hyndman and Koehler 2006): MASE 1 is as good as repeating the last season was there.
        quantiles: the predicted levels, in order.
        units: what 1 is in each channel's own units, where `season_errors`, forecasts and values are in others.
    """

    def __init__(
        self,
        columns: Sequence[str],
        season_errors: Sequence[float] | Float[np.ndarray, " channels"],
        quantiles: Sequence[float] = (),
        *,
        units: float | Float[np.ndarray, " channels"] = 1.0,
    ):
        self._columns, self._scale, self._levels = columns, np.array(season_errors), list(quantiles)
        self._units = units
        # For each channel: observed steps, absolute and squared errors summed in units of the season's error, in which
        # no square overflows or vanishes; steps inside the interval; horizons in which the series changes, and those of
        # them whose forecast does not.
        self.counts: Float64[np.ndarray, "channels 6"] = np.zeros((len(columns), 6), dtype=np.float64)

    def update(
        self,
        predictions: Float[np.ndarray, "batch horizon channels"],
        values: Float[np.ndarray, "batch horizon channels"],
        quantiles: Float[np.ndarray, "batch horizon channels levels"] | None = None,
    ) -> None:
        """Count forecasts against the observed values, NaN where nothing was observed."""
        observed = np.isfinite(values)
        difference = predictions.astype(np.float64) - values.astype(np.float64)
        error = np.where(observed, difference, 0) / self._scale
        inside = np.zeros_like(observed)
        if quantiles is not None:
            inside = observed & (quantiles[..., 0] <= values) & (values <= quantiles[..., -1])
        changes = np.where(observed, values, -np.inf).max(1) > np.where(observed, values, np.inf).min(1)
        constant = changes & (predictions.max(1) == predictions.min(1))
        for column, terms in enumerate((observed, np.abs(error), error**2, inside)):
            self.counts[:, column] += terms.sum((0, 1))
        for column, terms in ((4, changes), (5, constant)):
            self.counts[:, column] += terms.sum(0)

    def result(self) -> dict[str, float]:
        """`mase`, `mae` and `rmse`, means over the channels; `constant_forecasts`, the fraction of the horizons whose
        series changes and whose forecast is one number; with several quantiles `coverage`, the fraction of the
        observed values that lies between the outermost; of several channels each `COLUMN_mase`."""
        steps, absolute, squared, inside, changes, constant = self.counts.T
        with np.errstate(divide="ignore", invalid="ignore"):
            mase, rmse = absolute / steps, np.sqrt(squared / steps) * self._scale * self._units
        metrics = {"mase": _mean(mase), "mae": _mean(mase * self._scale * self._units), "rmse": _mean(rmse)}
        metrics["constant_forecasts"] = float(constant.sum() / max(changes.sum(), 1))
        if len(self._levels) > 1:
            metrics["coverage"] = float(inside.sum() / max(steps.sum(), 1))
        if len(self._columns) > 1:
            metrics |= {f"{name}_mase": float(value) for name, value in zip(self._columns, mase, strict=True)}
        return metrics


def _mean(values: Float[np.ndarray, " channels"]) -> float:
    """The mean over the channels that have a finite value, NaN where none has."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else math.nan
