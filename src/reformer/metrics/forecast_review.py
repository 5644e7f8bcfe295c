"""Review of forecasts over rolling origins: errors by method, origin, step and series, with the worst forecasts."""

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from reformer.metrics.calibration import Calibration
from reformer.metrics.forecasting import ForecastMetric

MOST_NAMES = 8
"""Series that a note names."""
NUMBERS_OF_AN_ORIGIN = ("mase", "rmse", "smape", "pinball", "coverage")


@dataclass(frozen=True, slots=True)
class ShownForecast:
    """Forecast of one series from one origin, beside what was observed."""

    series: str
    mase: float
    dates: tuple[str, str, str]
    """Of the first step that is shown, of the first that was forecast, and of the last."""
    past: Float[np.ndarray, " past"]
    observed: Float[np.ndarray, " horizon"]
    point: Float[np.ndarray, " horizon"]
    quantiles: Float[np.ndarray, "horizon levels"] | None
    baseline: Float[np.ndarray, " horizon"]


@dataclass(frozen=True, slots=True)
class NotFitted:
    """Forecast that a method could not make."""

    method: str
    series: str
    origin: str
    reason: str


class ErrorTable:
    """Errors of one method: all together, of each step of the horizon, and of each origin.

    Args:
        new_metric: an empty metric of the method.
        by_origin: whether those of each origin are kept.
    """

    def __init__(self, new_metric: Callable[[], ForecastMetric], horizon: int, *, by_origin: bool) -> None:
        self._new_metric, self._by_origin = new_metric, by_origin
        self.total = new_metric()
        self.steps = [new_metric() for _ in range(horizon)]
        self.origins: dict[int, ForecastMetric] = {}
        self.forecasts = 0
        """The number of origins from which there was something to compare."""

    def update(
        self,
        origins: Sequence[int],
        predictions: Float[np.ndarray, "batch horizon channels"],
        values: Float[np.ndarray, "batch horizon channels"],
        quantiles: Float[np.ndarray, "batch horizon channels levels"] | None = None,
    ) -> None:
        """Count the forecasts from these origins, as `ForecastMetric.update`."""
        self.total.update(predictions, values, quantiles)
        self.forecasts += int(np.isfinite(values).any((1, 2)).sum())
        for step, metric in enumerate(self.steps):
            at = slice(step, step + 1)
            metric.update(predictions[:, at], values[:, at], None if quantiles is None else quantiles[:, at])
        for place, origin in enumerate(origins if self._by_origin else ()):
            at, metric = slice(place, place + 1), self._new_metric()
            metric.update(predictions[at], values[at], None if quantiles is None else quantiles[at])
            self.origins[origin] = metric


@dataclass
class ForecastReview:
    """Forecasts of a run and of simpler methods from the same origins.

    Args:
        model: the run's errors.
        uncalibrated: its errors with the quantiles that the model itself gives.
        baselines: the errors of other methods, by their names.
        origins: the dates of the origins by their numbers.
        shown: the worst forecast of each series.
        not_scored: series without a forecast that could be compared, and why.
        not_fitted: forecasts that one of the baselines could not make.
    """

    levels: Sequence[float]
    model: ErrorTable
    uncalibrated: ForecastMetric
    baselines: Mapping[str, ErrorTable]
    origins: Mapping[int, str]
    shown: dict[str, ShownForecast] = field(default_factory=dict)
    not_scored: dict[str, str] = field(default_factory=dict)
    not_fitted: list[NotFitted] = field(default_factory=list)

    @property
    def metrics(self) -> dict[str, int | float]:
        """The run's metrics over all origins."""
        return {"forecasts": self.model.forecasts, **self.model.total.result()}

    def baseline_metrics(self) -> dict[str, dict[str, int | float]]:
        """The metrics of the other methods, each over the forecasts that it could make."""
        return {name: {"forecasts": table.forecasts, **table.total.result()} for name, table in self.baselines.items()}

    def origin_rows(self) -> list[dict[str, Any]]:
        """A row for each origin, where they were kept: its date, the run's errors, and MASE of the other methods."""
        return [
            {"origin": self.origins[origin]}
            | {name: value for name, value in metric.result().items() if name in NUMBERS_OF_AN_ORIGIN}
            | {
                name: table.origins[origin].result()["mase"]
                for name, table in self.baselines.items()
                if origin in table.origins
            }
            for origin, metric in sorted(self.model.origins.items())
        ]

    def notes(self) -> list[str]:
        """A line for the series that were not scored, and for each method and reason why it was not fitted."""
        lines = (
            [f"not scored: {_listed(self.not_scored)}; {next(iter(self.not_scored.values()))}"]
            if self.not_scored
            else []
        )
        reasons: dict[tuple[str, str], list[str]] = {}
        for failed in self.not_fitted:
            reasons.setdefault((failed.method, failed.reason), []).append(f"{failed.series} from {failed.origin}")
        return lines + [
            f"{method} was not fitted {len(places):,} times ({reason}), and is scored without: {_listed(places)}"
            for (method, reason), places in reasons.items()
        ]

    def add_shown(self, forecast: ShownForecast) -> None:
        """Keep a forecast if it is the worst of its series so far."""
        kept = self.shown.get(forecast.series)
        if kept is None or forecast.mase > kept.mase:
            self.shown[forecast.series] = forecast

    def calibration_metrics(self, calibration: Calibration) -> dict[str, int | float]:
        """Coverage and pinball loss with the quantiles of the model and with those that were shifted; nothing where
        there are no quantiles."""
        before, after = self.uncalibrated.result(), self.model.total.result()
        return {
            f"{name}_{when}": found[name]
            for name in ("coverage", "pinball")
            for when, found in (("before", before), ("after", after))
            if name in found
        }


def _listed(names: Collection[str]) -> str:
    """The first of the names, and how many more there are."""
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return ", ".join(itertools.islice(names, MOST_NAMES)) + more
