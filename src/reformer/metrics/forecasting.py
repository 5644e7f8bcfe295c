"""Forecast errors: MASE, MAE, RMSE, sMAPE, pinball loss, coverage."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64

PERCENT = 100
TERMS = 8


class ForecastMetric:
    """Errors of forecasts: MAE and RMSE in the series' own units, MASE and pinball loss relative to repeating the last
    season, sMAPE in percent, and the coverage of the interval between the outermost quantiles.

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
        self._columns, self._scale, self._levels = columns, np.array(season_errors), np.array(quantiles)
        self._units = units
        # For each channel: observed steps; absolute and squared errors and pinball losses summed in units of the
        # season's error, in which no square overflows or vanishes; steps inside the interval; horizons in which the
        # series changes, and those of them whose forecast does not; terms of sMAPE.
        self.counts: Float64[np.ndarray, "channels 8"] = np.zeros((len(columns), TERMS), dtype=np.float64)

    def update(
        self,
        predictions: Float[np.ndarray, "batch horizon channels"],
        values: Float[np.ndarray, "batch horizon channels"],
        quantiles: Float[np.ndarray, "batch horizon channels levels"] | None = None,
    ) -> None:
        """Count forecasts against the observed values, NaN where nothing was observed."""
        observed = np.isfinite(values)
        known = np.where(observed, values, 0).astype(np.float64)
        predicted = np.where(observed, predictions, 0).astype(np.float64)
        error = (predicted - known) / self._scale
        size = np.abs(predicted) + np.abs(known)
        relative = np.abs(predicted - known) / np.where(size > 0, size, 1)
        inside, pinball = np.zeros_like(observed), np.zeros_like(error)
        if quantiles is not None:
            inside = observed & (quantiles[..., 0] <= values) & (values <= quantiles[..., -1])
            above = (known[..., None] - np.where(observed[..., None], quantiles, 0)) / self._scale[:, None]
            pinball = np.where(observed, np.maximum(self._levels * above, (self._levels - 1) * above).mean(-1), 0)
        changes = np.where(observed, values, -np.inf).max(1) > np.where(observed, values, np.inf).min(1)
        constant = changes & (predictions.max(1) == predictions.min(1))
        for column, terms in (
            (0, observed),
            (1, np.abs(error)),
            (2, error**2),
            (3, inside),
            (6, relative),
            (7, pinball),
        ):
            self.counts[:, column] += terms.sum((0, 1))
        for column, terms in ((4, changes), (5, constant)):
            self.counts[:, column] += terms.sum(0)

    def result(self) -> dict[str, float]:
        """`mase`, `mae`, `rmse` and `smape`, means over the channels; `constant_forecasts`, the fraction of the
        horizons whose series changes and whose forecast is one number; with several quantiles `pinball`, their mean
        pinball loss in units of MASE, and `coverage`, the fraction of the observed values that lies between the
        outermost; of several channels each `COLUMN_mase`."""
        found = self._of_channels()
        constant, changes = self.counts[:, 5].sum(), self.counts[:, 4].sum()
        metrics = {name: _mean(values) for name, values in found.items() if name not in ("pinball", "coverage")}
        metrics["constant_forecasts"] = float(constant / max(changes, 1))
        if len(self._levels) > 1:
            metrics |= {"pinball": _mean(found["pinball"])}
            metrics["coverage"] = float(self.counts[:, 3].sum() / max(self.counts[:, 0].sum(), 1))
        if len(self._columns) > 1:
            metrics |= {f"{name}_mase": float(value) for name, value in zip(self._columns, found["mase"], strict=True)}
        return metrics

    def by_channel(self) -> dict[str, dict[str, float]]:
        """The errors of each channel that has observed steps, by its name."""
        found = self._of_channels()
        return {
            name: {key: float(values[place]) for key, values in found.items()}
            for place, name in enumerate(self._columns)
            if self.counts[place, 0]
        }

    def _of_channels(self) -> dict[str, Float64[np.ndarray, " channels"]]:
        """Errors of each channel, NaN where nothing was observed."""
        steps, absolute, squared, inside, _, _, relative, pinball = self.counts.T
        with np.errstate(divide="ignore", invalid="ignore"):
            mase = absolute / steps
            metrics = {
                "mase": mase,
                "mae": mase * self._scale * self._units,
                "rmse": np.sqrt(squared / steps) * self._scale * self._units,
                "smape": 2 * PERCENT * relative / steps,
            }
            if len(self._levels) > 1:
                metrics |= {"pinball": pinball / steps, "coverage": inside / steps}
        return metrics

    @property
    def observed(self) -> Float64[np.ndarray, " channels"]:
        """How many observed steps of each channel were counted."""
        return self.counts[:, 0]


def _mean(values: Float[np.ndarray, " channels"]) -> float:
    """The mean over the channels that have a finite value, NaN where none has."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else math.nan
