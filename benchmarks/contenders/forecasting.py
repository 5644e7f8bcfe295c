"""Forecasts of real series: the last day, the last week, a linear model, and models with layers."""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.case import Contender, ContractError
from benchmarks.learning import learner

SERIES = {
    "electricity": ["data.source=index:electricity"],
    "bike-counts": ["data.source=index:bike-counts"],
    "beijing-air": ["data.source=index:beijing-air"],
}
"""Each series, and what is put over the recipe for it."""

DAY, WEEK = 24, 168
LAYERS = {"local, local+lsh": ["local", "local+lsh"], "full attention": ["full", "full"]}

LINEAR_CONTEXTS, LINEAR_STEPS_FOR_EACH, LINEAR_BATCH, LINEAR_RATE = (336, 672), 10, 64, 2e-3
TREND = 25

Facts = dict[str, Any]


def forecasting(series: str) -> list[Contender]:
    """Everybody on one series: recipes/electricity.toml, its horizon and its split."""

    def linear(context: int) -> Callable[[int], Facts]:
        return lambda steps: _linear(_recipe(series, 1), LINEAR_STEPS_FOR_EACH * steps, context)

    def layers(kinds: list[str]) -> Callable[[int], Facts]:
        return lambda steps: _layers(_recipe(series, steps, kinds))

    everybody: dict[str, Callable[[int], Facts]] = {
        "last day": lambda _: _repeat(_recipe(series, 1), DAY),
        "last week": lambda _: _repeat(_recipe(series, 1), WEEK),
        **{f"linear from {context}": linear(context) for context in LINEAR_CONTEXTS},
        **{name: layers(kinds) for name, kinds in LAYERS.items()},
    }
    return [
        learner(f"{series}: {name}", series, train, _check, series=series, model=name)
        for name, train in everybody.items()
    ]


def _recipe(series: str, steps: int, kinds: Iterable[str] | None = None) -> Any:
    from benchmarks.machine import ROOT
    from reformer.runs.recipe_file import read_recipe

    changed = [*SERIES[series], f"training.max_steps={steps}"]
    if kinds is not None:
        changed.append(f"model.attention_layers={list(kinds)}")
    return read_recipe(ROOT / "recipes" / "electricity.toml", changed)


def _layers(recipe: Any) -> Facts:
    from rich.console import Console

    from reformer.training.train import train

    with tempfile.TemporaryDirectory() as folder:
        metrics = train(recipe, Path(folder) / "run", console=Console(quiet=True))
    return metrics["test"] | {"context": recipe.data.context_length, "weights": metrics["training"]["weights"]}


def _repeat(recipe: Any, season: int) -> Facts:
    """The last season again and again; where it was not observed, the mean of the context."""
    import numpy as np

    def forecast(batch: dict[str, Any]) -> Any:
        values = batch["values"].numpy()
        last = values[:, -season:]
        last = np.where(np.isfinite(last), last, np.nanmean(values, axis=1, keepdims=True))
        times = -(-recipe.data.prediction_length // season)
        return np.tile(last, (1, times, 1))[:, : recipe.data.prediction_length]

    splits = _splits(recipe, season)
    return _score(splits, splits.test, forecast) | {"context": season, "weights": 0}


def _linear(recipe: Any, steps: int, context: int) -> Facts:
    """A linear map of the trend and one of what is left of it (Zeng et al. 2023, DLinear), of a scaled context."""
    import torch
    from torch import nn

    torch.manual_seed(recipe.training.seed)
    splits, horizon = _splits(recipe, context), recipe.data.prediction_length
    maps = nn.ModuleList([nn.Linear(context, horizon) for _ in range(2)])
    optimizer = torch.optim.AdamW(maps.parameters(), lr=LINEAR_RATE)

    def found(batch: dict[str, Any]) -> tuple[Any, Any, Any]:
        series = batch["values"].transpose(1, 2)
        seen = series.isfinite()
        count = seen.sum(-1, keepdim=True).clamp_min(1)
        mean = series.where(seen, 0).sum(-1, keepdim=True) / count
        spread = ((series - mean).where(seen, 0).square().sum(-1, keepdim=True) / count).sqrt().clamp_min(1e-6)
        scaled = ((series - mean) / spread).where(seen, 0).flatten(0, 1).float()
        around = nn.functional.pad(scaled[:, None], (TREND // 2, TREND // 2), mode="replicate")
        trend = nn.functional.avg_pool1d(around, TREND, 1)[:, 0]
        return (maps[0](scaled - trend) + maps[1](trend)).view(*mean.shape[:2], -1), mean, spread

    def forecast(batch: dict[str, Any]) -> Any:
        with torch.no_grad():
            forecasts, mean, spread = found(batch)
        return (forecasts * spread + mean).transpose(1, 2).numpy()

    best, kept = float("inf"), {}
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LINEAR_RATE * (1 - step / steps)
        chosen = torch.randint(len(splits.train), (LINEAR_BATCH,)).tolist()
        batch = _stack(splits.train, chosen)
        forecasts, mean, spread = found(batch)
        labels = (batch["labels"].transpose(1, 2) - mean) / spread
        known = labels.isfinite()
        loss = ((forecasts - labels.where(known, 0)).abs() * known).sum() / known.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        # As often as the recipe measures; the best weights on the validation part are kept.
        if (step + 1) % max(1, steps // recipe.training.num_evaluations) == 0:
            measured = _score(splits, splits.validation, forecast)["mase"]
            if measured < best:
                best, kept = measured, {name: weight.clone() for name, weight in maps.state_dict().items()}
    maps.load_state_dict(kept)
    weights = sum(weight.numel() for weight in maps.parameters())
    return _score(splits, splits.test, forecast) | {"context": context, "weights": weights}


def _splits(recipe: Any, context: int) -> Any:
    from reformer.tasks.forecasting.splits import load_series_splits

    return load_series_splits(recipe.data.model_copy(update={"context_length": context}))


def _stack(windows: Any, chosen: Iterable[int]) -> dict[str, Any]:
    from reformer.data.batching.series_windows import stack

    return stack([windows[index] for index in chosen])


def _score(splits: Any, windows: Any, forecast: Callable[[dict[str, Any]], Any]) -> Facts:
    from reformer.metrics.forecasting import ForecastMetric

    score = ForecastMetric(splits.reader.columns, splits.reader.season_errors)
    for begin in range(0, len(windows), LINEAR_BATCH):
        batch = _stack(windows, range(begin, min(begin + LINEAR_BATCH, len(windows))))
        score.update(forecast(batch), batch["labels"].numpy())
    return {"forecasts": len(windows), **score.result()}


def _check() -> str:
    """Windows are scored on what follows them: repeating the last day has no error on a series of equal days."""
    import numpy as np

    from reformer.data import Series
    from reformer.data.batching.series_windows import SeriesWindows
    from reformer.metrics.forecasting import ForecastMetric

    values = np.tile(np.arange(DAY, dtype=np.float64), 20)[:, None]
    dates = np.datetime64("2024-01-01", "s") + np.arange(len(values)) * np.timedelta64(3600, "s")
    windows = SeriesWindows(Series("days", ("y",), dates, values, 3600, "s"), DAY, 48, 0, len(values))
    score = ForecastMetric(["y"], [1.0])
    for index in range(len(windows)):
        item = windows[index]
        score.update(np.tile(item["values"], (2, 1))[None], item["labels"][None])
    mae = score.result()["mae"]
    if mae > 0:
        raise ContractError(f"mean absolute error {mae:g} on a series that repeats itself, expected 0")
    return f"{len(windows)} forecasts of a series that repeats its days, without an error"
