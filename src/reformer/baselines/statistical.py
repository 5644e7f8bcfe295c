"""AutoETS and AutoTheta of statsforecast: forecasts of one series from its own past."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float64
from numpy import ndarray

from reformer.errors import ReformerError

MODELS = {"auto-ets": "AutoETS", "auto-theta": "AutoTheta"}
"""The methods by the names of options, with those that statsforecast gives them."""
MEDIAN = 0.5


class NotFittedError(ReformerError):
    """The method cannot be fitted to this past; the message says why."""


class StatisticalForecaster:
    """One of statsforecast's methods that choose their own form and fit it to one series.

    Args:
        name: one of `MODELS`.
        season: the steps of a season.
        horizon: the number of steps to forecast.
        levels: the quantiles to forecast; none: the mean alone.

    Raises:
        ReformerError: statsforecast is not installed.
    """

    def __init__(self, name: str, season: int, horizon: int, levels: Sequence[float] = ()) -> None:
        try:
            from statsforecast import models  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise ReformerError(
                f"{MODELS[name]} needs statsforecast, which is not installed: "
                "pip install 'reformer-torch[statsforecast]'"
            ) from None
        self.name = MODELS[name]
        self._make = getattr(models, self.name)
        self._season, self._horizon, self._levels = season, horizon, list(levels)

    def forecast(
        self, past: Float[ndarray, " past"]
    ) -> tuple[Float64[ndarray, " horizon"], Float64[ndarray, "horizon levels"]]:
        """The forecast and its quantiles.

        A gap is filled by a straight line between its neighbours, as neither method reads one; steps after the last
        number are forecast, too.

        Args:
            past: NaN where nothing was observed.

        Raises:
            NotFittedError: the past is too short, or no form of the method can be fitted to it.
        """
        known = np.flatnonzero(np.isfinite(past))
        if not len(known):
            raise NotFittedError("there is no number in its past")
        begin, end = known[0], known[-1] + 1
        filled = np.interp(np.arange(begin, end), known, past[known])
        behind = len(past) - int(end)
        widths = {level: _width(level) for level in self._levels if level != MEDIAN}
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                answer: dict[str, Any] = self._make(season_length=self._season).forecast(
                    y=filled, h=behind + self._horizon, level=sorted(set(widths.values())) or None
                )
        # The library says that a past does not suit by errors of many kinds, Exception itself among them.
        except Exception as error:
            raise NotFittedError(f"{type(error).__name__}: {error}") from error
        mean = np.asarray(answer["mean"], dtype=np.float64)[behind:]
        quantiles = np.empty((self._horizon, len(self._levels)))
        for place, level in enumerate(self._levels):
            side = "hi" if level > MEDIAN else "lo"
            quantiles[:, place] = mean if level == MEDIAN else answer[f"{side}-{widths[level]}"][behind:]
        if not np.isfinite(mean).all():
            raise NotFittedError("its forecast is not finite")
        return mean, quantiles


def _width(level: float) -> float:
    """The interval, in percent, one of whose ends is the quantile."""
    return round(abs(2 * level - 1) * 100, 6)
