"""Backtest: forecasts of a run and of simpler methods from rolling origins, against what was observed."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from numpy import ndarray

from reformer.baselines.seasonal_naive import repeated_season
from reformer.baselines.statistical import NotFittedError, StatisticalForecaster
from reformer.data import DataError, Series
from reformer.data.batching.series_windows import SeriesWindows
from reformer.data.batching.token_batches import TokenBatches
from reformer.metrics.forecast_review import ErrorTable, ForecastReview, NotFitted, ShownForecast
from reformer.metrics.forecasting import ForecastMetric
from reformer.models import ReformerConfig
from reformer.tasks.base import Run, to_device
from reformer.tasks.forecasting.reader import SeriesReader

NAIVE, SEASONAL_NAIVE = "naive", "seasonal naive"
HORIZONS_BEFORE = 3
"""Horizons of the past that a report shows."""
# Of a batch in evaluation, unless one window has more.
BATCH_TOKENS = 1 << 15

Forecasts = Float64[ndarray, "batch horizon channels"]
Quantiles = Float64[ndarray, "batch horizon channels levels"]


def last_windows(series: Series, context: int, horizon: int, origins: int, step: int) -> SeriesWindows:
    """Windows of the last so many origins, `step` steps apart, the last of which forecasts the series' end.

    Raises:
        DataError: the series is too short.
    """
    end = len(series.dates)
    first = end - horizon - (origins - 1) * step
    if first < horizon:
        room = max(0, (end - 2 * horizon) // step + 1)
        raise DataError(
            series.name,
            None,
            f"{origins:,} origins {step:,} steps apart, each with {horizon:,} steps before and behind it, need "
            f"{2 * horizon + (origins - 1) * step:,} steps, and it has {end:,}",
            f"ask for at most {room:,} origins" if room else "give a longer series",
        )
    return SeriesWindows(series, context, horizon, first, end, step)


def backtest(
    run: Run[Any],
    windows: SeriesWindows,
    statistical: Sequence[StatisticalForecaster] = (),
    *,
    by_origin: bool = False,
) -> ForecastReview:
    """The errors of a run's forecasts from these windows, of the seasonal naive forecast, and of others.

    Args:
        statistical: methods to fit to the steps that the model reads, anew for each window and series.
        by_origin: whether the errors of each origin are kept.
    """
    reader, series = run.processor, windows.series
    config: Any = run.model.config
    levels = list(config.quantiles)
    new_metric = partial(new_forecast_metric, reader)
    table = partial(ErrorTable, horizon=windows.horizon, by_origin=by_origin)
    naive = SEASONAL_NAIVE if reader.season > 1 else NAIVE
    review = ForecastReview(
        levels,
        model=table(partial(new_metric, levels)),
        uncalibrated=new_metric(levels),
        baselines={naive: table(new_metric)}
        | {method.name: table(partial(new_metric, levels)) for method in statistical},
        origins=dict(
            zip(windows.origins.tolist(), (series.written(date) for date in series.dates[windows.origins]), strict=True)
        ),
    )
    # A context may be shorter than a season.
    longer = windows.with_context(max(windows.context, reader.season))
    for indices in TokenBatches(window_lengths(windows, config), batch_tokens=BATCH_TOKENS):
        origins = [int(windows.origins[index]) for index in indices]
        batch = reader.collate([windows[index] for index in indices])
        labels, past = batch["labels"].double().numpy(), batch["values"].double().numpy()
        point, raw = model_forecasts(run, batch)
        quantiles = calibrated(run, raw)
        review.uncalibrated.update(point, labels, raw)
        review.model.update(origins, point, labels, quantiles)
        seasons = reader.collate([longer[index] for index in indices])["values"].double().numpy()
        repeated = repeated_season(seasons, reader.season, windows.horizon)
        review.baselines[naive].update(origins, repeated, labels)
        for method in statistical:
            found, of_levels, failed = _fitted(method, past, labels, len(levels))
            for window, channel, reason in failed:
                origin = review.origins[origins[window]]
                review.not_fitted.append(NotFitted(method.name, reader.columns[channel], origin, reason))
            compared = np.where(np.isfinite(found), labels, np.nan)
            review.baselines[method.name].update(origins, found, compared, of_levels if levels else None)
        for shown in _shown(reader, windows, origins, labels, point, quantiles, repeated):
            review.add_shown(shown)
    for channel in np.flatnonzero(review.model.total.observed == 0):
        review.not_scored[reader.columns[channel]] = (
            "from no origin are there both numbers to forecast from and numbers to compare with"
        )
    return review


def model_forecasts(run: Run[Any], batch: Mapping[str, torch.Tensor]) -> tuple[Forecasts, Quantiles | None]:
    """The model's forecasts of a batch, in the reader's units, and its quantiles as they are."""
    with torch.inference_mode():
        outputs = run.model(**to_device(batch, run.model.device))
    point = outputs.prediction.double().cpu().numpy()
    return point, None if outputs.quantiles is None else outputs.quantiles.double().cpu().numpy()


def calibrated(run: Run[Any], quantiles: Quantiles | None) -> Quantiles | None:
    """The quantiles as the run's calibration shifts them; themselves where it has none."""
    intervals = run.calibration.intervals
    return quantiles if quantiles is None or intervals is None else intervals.apply(quantiles)


def new_forecast_metric(reader: SeriesReader, levels: Sequence[float] = ()) -> ForecastMetric:
    """An empty metric of forecasts in the reader's units."""
    return ForecastMetric(reader.columns, reader.season_errors / reader.units, levels, units=reader.units)


def window_lengths(windows: SeriesWindows, config: ReformerConfig) -> list[int]:
    """The number of tokens of each window, all its channels together."""
    tokens = tokens_of(windows.context, windows.horizon, config.patch_size)
    return [tokens * len(windows.series.columns)] * len(windows)


def tokens_of(context: int, horizon: int, patch_size: int) -> int:
    """The number of tokens of one channel of one forecast."""
    return -(-context // patch_size) + -(-horizon // patch_size)


def _fitted(
    method: StatisticalForecaster,
    past: Float64[ndarray, "batch context channels"],
    labels: Forecasts,
    levels: int,
) -> tuple[Forecasts, Quantiles, list[tuple[int, int, str]]]:
    """Forecasts of each window and channel that has something to compare with, and those that could not be made."""
    point = np.full(labels.shape, np.nan)
    quantiles = np.full((*labels.shape, levels), np.nan)
    failed = []
    for window, channel in np.argwhere(np.isfinite(labels).any(1)).tolist():
        try:
            point[window, :, channel], quantiles[window, :, channel] = method.forecast(past[window, :, channel])
        except NotFittedError as error:
            failed.append((window, channel, str(error)))
    return point, quantiles, failed


def _shown(
    reader: SeriesReader,
    windows: SeriesWindows,
    origins: Sequence[int],
    labels: Forecasts,
    point: Forecasts,
    quantiles: Quantiles | None,
    repeated: Forecasts,
) -> Iterator[ShownForecast]:
    """The worst forecast of each channel in a batch, in the channel's own units."""
    scale = np.asarray(reader.season_errors / reader.units)
    observed = np.isfinite(labels)
    errors = np.where(observed, np.abs(point - labels), 0).sum(1) / np.maximum(observed.sum(1), 1) / scale
    errors = np.where(observed.any(1), errors, -1.0)
    series, horizon = windows.series, windows.horizon
    for channel, window in enumerate(errors.argmax(0).tolist()):
        if errors[window, channel] < 0:
            continue
        at, unit = origins[window], reader.units[channel]
        begin = max(0, at - HORIZONS_BEFORE * horizon)
        dates = [series.written(date) for date in series.dates[[begin, at, at + horizon - 1]]]
        yield ShownForecast(
            reader.columns[channel],
            float(errors[window, channel]),
            (dates[0], dates[1], dates[2]),
            series.values[begin:at, channel],
            labels[window, :, channel] * unit,
            point[window, :, channel] * unit,
            None if quantiles is None else quantiles[window, :, channel] * unit,
            repeated[window, :, channel] * unit,
        )
