"""Baselines of forecasting: the last value, the last season, and a linear forecast."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Float64
from numpy import ndarray

from reformer.baselines.seasonal_naive import repeated_season
from reformer.data.batching.series_windows import SeriesWindows
from reformer.metrics.forecasting import ForecastMetric
from reformer.models import ReformerConfig, ReformerForForecasting
from reformer.tasks.base import Baseline
from reformer.tasks.forecasting.linear_fit import fit_linear
from reformer.tasks.forecasting.reader import SeriesReader
from reformer.tasks.forecasting.splits import SeriesSplits

WINDOWS_AT_A_TIME = 256
MAX_LINEAR_CONTEXT = 1024
"""Steps that the linear forecast is drawn from, at most: the time of the regression grows with their square."""

Forecaster = Callable[[dict[str, Any]], Float64[ndarray, "batch horizon channels"]]
"""The forecasts of a batch of windows."""


def measure_baseline(splits: SeriesSplits, context: int) -> Baseline:
    """The one of the baselines with the least MASE on the validation part.

    Args:
        context: of the linear forecast, its number of past steps.
    """
    season = splits.reader.season
    horizon = splits.train.horizon
    methods: dict[str, Forecaster] = {
        "the last value": lambda batch: repeated_season(batch["values"].numpy(), 1, horizon)
    }
    if 1 < season <= splits.train.context:
        methods["the last season"] = lambda batch: repeated_season(batch["values"].numpy(), season, horizon)
    methods["a linear forecast"] = _linear(splits, min(context, splits.train.context, MAX_LINEAR_CONTEXT))
    found = {name: _scores(forecast, splits.validation, splits) for name, forecast in methods.items()}
    best = min(found, key=lambda name: found[name]["mase"])
    test = None if splits.test is None else _scores(methods[best], splits.test, splits)
    others = ", ".join(f"{name} {scores['mase']:.4f}" for name, scores in found.items() if name != best)
    return Baseline(method=best, validation=found[best], test=test, note=f"mase of {others}")


@torch.no_grad()
def _linear(splits: SeriesSplits, context: int) -> Forecaster:
    """The forecasts of a forecaster whose layers add nothing to its linear part."""
    config = ReformerConfig(
        vocab_size=0,
        hidden_size=8,
        num_attention_heads=1,
        attention_head_size=8,
        feed_forward_size=8,
        attention_layers=["local"],
        patch_size=splits.train.horizon,
        prediction_length=splits.train.horizon,
        quantiles=[0.5],
        linear_context=context,
    )
    model = ReformerForForecasting(config).eval()
    # Where no window is without a gap nothing can be fitted, and the mean is forecast.
    for parameter in (*model.linear.parameters(), *model.forecast.parameters()):  # pyright: ignore
        parameter.zero_()
    fit_linear(model, splits)

    def forecast(batch: dict[str, Any]) -> Float64[ndarray, "batch horizon channels"]:
        with torch.inference_mode():
            return model(values=batch["values"]).prediction.double().numpy()  # pyright: ignore[reportOptionalMemberAccess]

    return forecast


def _scores(forecast: Forecaster, windows: SeriesWindows, splits: SeriesSplits) -> dict[str, int | float]:
    reader = splits.reader
    # In the reader's units, in which no square overflows or vanishes.
    metric = ForecastMetric(reader.columns, reader.season_errors / reader.units, units=reader.units)
    for batch in _batches(windows, reader):
        metric.update(forecast(batch), batch["labels"].double().numpy())
    return {"forecasts": len(windows), **metric.result()}


def _batches(windows: SeriesWindows, reader: SeriesReader) -> Iterator[dict[str, Any]]:
    for begin in range(0, len(windows), WINDOWS_AT_A_TIME):
        yield reader.collate([windows[index] for index in range(begin, min(begin + WINDOWS_AT_A_TIME, len(windows)))])
