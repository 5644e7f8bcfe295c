"""Conformal intervals of a run: its quantiles calibrated on the validation part."""

from typing import Any

import numpy as np

from reformer.data.batching.series_windows import SeriesWindows
from reformer.data.batching.token_batches import TokenBatches
from reformer.metrics.calibration import Calibration
from reformer.metrics.intervals import IntervalCalibration
from reformer.tasks.base import Run
from reformer.tasks.forecasting.backtest import BATCH_TOKENS, model_forecasts, window_lengths


def fit_intervals(run: Run[Any], windows: SeriesWindows) -> Calibration:
    """The calibration that the run's own forecasts from these windows tell; all channels count together."""
    config: Any = run.model.config
    levels = tuple(config.quantiles)
    if run.recipe.data.intervals == "model":
        return Calibration(reason='the recipe says data.intervals = "model"')
    if len(levels) < 2:
        return Calibration(reason="the model has learned no quantiles but the median")
    quantiles, values = [], []
    for indices in TokenBatches(window_lengths(windows, config), batch_tokens=BATCH_TOKENS):
        batch = run.processor.collate([windows[index] for index in indices])
        found = model_forecasts(run, batch)[1]
        assert found is not None
        # Each channel of a window is a forecast of its own.
        quantiles.append(found.swapaxes(1, 2).reshape(-1, windows.horizon, len(levels)))
        values.append(batch["labels"].double().numpy().swapaxes(1, 2).reshape(-1, windows.horizon))
    intervals, reason = IntervalCalibration.fit(np.concatenate(quantiles), np.concatenate(values), levels)
    return Calibration(reason=reason, intervals=intervals)
