"""Forecasting: what a series will be, measured against repeating its last season."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from reformer.data import DataError, Series, load_series
from reformer.data.batching.series_windows import SeriesWindows, stack
from reformer.data.batching.token_batches import TokenBatches
from reformer.data.errors import OnError
from reformer.metrics.forecasting import ForecastMetric
from reformer.models import ReformerConfig, ReformerForForecasting
from reformer.recipe import Recipe
from reformer.tasks.base import PredictingTask, PredictOptions, TaskData, read_files
from reformer.tasks.forecasting.linear_fit import fit_linear
from reformer.tasks.forecasting.plot import plot_forecast
from reformer.tasks.forecasting.splits import SERIES_FILE, SeriesReader, load_series_splits, sizes
from reformer.tasks.model_setup import PretrainedStart, make_config

if TYPE_CHECKING:
    from reformer.tasks.base import Run


TIME_FEATURES = 6


class Forecasting(PredictingTask):
    """The next steps of every numeric column of a table with dates."""

    head = ReformerForForecasting
    best_metric = "mase"
    greater_is_better = False
    recipe_fields = frozenset(
        f"data.{name}" for name in ("date_columns", "columns", "context_length", "horizon", "season", "test_fraction")
    )
    processor_file = SERIES_FILE
    predict_options = frozenset({"split", "pictures"})

    def check_recipe(self, recipe: Recipe) -> None:
        super().check_recipe(recipe)
        data = recipe.data
        for field, example in (("context_length", 1024), ("horizon", 96)):
            if getattr(data, field) is None:
                raise ValueError(f"data.{field} has to be given for forecasting, such as {example}")
        if data.source is not None and data.date_columns is not None:
            raise ValueError("a source has its own dates; leave out data.date_columns")
        if data.test is not None and data.test_fraction is not None:
            raise ValueError("data.test and data.test_fraction: give one of them")
        size = recipe.model.get("patch_size", ReformerConfig.patch_size)
        longest = recipe.model.get("max_position_embeddings", ReformerConfig.max_position_embeddings)
        if isinstance(size, int) and size > 0 and isinstance(longest, int):
            assert data.context_length is not None
            assert data.horizon is not None
            tokens = tokens_of(data.context_length, data.horizon, size)
            if tokens > longest:
                raise ValueError(
                    f"data.context_length and data.horizon make {tokens} tokens, more than "
                    f"model.max_position_embeddings = {longest}; raise that one, or model.patch_size"
                )

    def load_data(self, recipe: Recipe, start: PretrainedStart | None = None) -> "ForecastingData":
        return ForecastingData(recipe, start)

    def load_processor(self, folder: Path) -> SeriesReader:
        return SeriesReader.load(folder)

    def predict(
        self, run: "Run[Forecasting]", files: Iterable[str], options: PredictOptions, on_error: OnError
    ) -> Iterator[dict[str, Any]]:
        """A record for each step of the horizon: file, date, and each column with its quantiles."""
        for file, series in read_files(files, lambda file: [(file, run.processor.read(file, on_error))], on_error):
            yield from self._forecast(run, file, series, options.pictures)

    def evaluate(self, run: "Run[Forecasting]", source: str, options: PredictOptions) -> dict[str, float]:
        """Scores over the whole series, or over what the recipe's fractions leave for the split of a data set."""
        recipe = run.recipe.data
        if source.startswith("index:"):
            if source == recipe.source:
                splits = load_series_splits(recipe)
                parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
                windows = parts.get(options.split or "test")
                if windows is None:
                    left = ", ".join(name for name, part in parts.items() if part is not None)
                    raise DataError(
                        source, None, f"the recipe leaves no split {options.split!r}", f"name one of {left}"
                    )
            else:
                windows = self._all(run, load_series(source.removeprefix("index:"), columns=run.processor.columns))
        else:
            windows = self._all(run, run.processor.read(source))
        if not len(windows):
            raise DataError(source, None, "it is too short for one forecast", "give a longer series")
        return measure_all(run, windows)

    def _all(self, run: "Run[Forecasting]", series: Series) -> SeriesWindows:
        context, horizon = run.recipe.data.context_length, run.recipe.data.horizon
        assert context is not None
        assert horizon is not None
        return SeriesWindows(series, context, horizon, 0, len(series.dates), max(1, horizon // 4))

    def _forecast(
        self, run: "Run[Forecasting]", file: str, series: Series, pictures: Path | None
    ) -> Iterator[dict[str, Any]]:
        window = self._all(run, series).window(len(series.dates))
        with torch.inference_mode():
            found = run.model(**{name: value.to(run.model.device) for name, value in stack([window]).items()})
        levels = run.model.config.quantiles
        point = found.prediction[0].float().cpu().numpy()
        quantiles = None if found.quantiles is None else found.quantiles[0].float().cpu().numpy()
        dates = series.dates_after(len(point))
        for step, date in enumerate(dates):
            record: dict[str, Any] = {"file": file, "date": str(date)}
            for channel, column in enumerate(series.columns):
                record[column] = float(point[step, channel])
                for number, level in enumerate(levels):
                    if quantiles is not None and level != 0.5:
                        record[f"{column} {level:g}"] = float(quantiles[step, channel, number])
            yield record
        if pictures is not None:
            plot_forecast(series, dates, point, quantiles, levels, pictures / f"{Path(file).name}.png")


class ForecastingData(TaskData):
    """What a forecaster learns from: one series, split in time.

    Raises:
        DataError: a row that cannot be read, or a series that is too short.
    """

    def __init__(self, recipe: Recipe, start: PretrainedStart | None = None) -> None:
        self._splits = load_series_splits(recipe.data)
        self.processor = self._reader = self._splits.reader
        self.config = make_config(
            recipe, None, start, prediction_length=recipe.data.horizon, num_time_features=TIME_FEATURES
        )
        self.train, self.validation = self._splits.train, self._splits.validation

    def lengths(self, dataset: Dataset[Any]) -> list[int]:
        assert isinstance(dataset, SeriesWindows)
        return [
            tokens_of(dataset.context, dataset.horizon, self.config.patch_size) * len(dataset.series.columns)
        ] * len(dataset)

    def collate(self, examples: Sequence[Any]) -> dict[str, Tensor]:
        return stack(examples)

    def initialize(self, model: ReformerForForecasting) -> None:
        fit_linear(model, self._splits.train, self._splits.validation)

    def new_metric(self) -> ForecastMetric:
        return _score(self._reader, self.config)

    def evaluate_batch(self, model: nn.Module, batch: dict[str, Any], score: Any) -> tuple[float, int]:
        return _measure(model, batch, score)

    def test_metrics(self, run: "Run[Forecasting]") -> dict[str, float] | None:
        return None if self._splits.test is None else measure_all(run, self._splits.test)

    def describe(self) -> Iterator[str]:
        return sizes(self._splits)


def tokens_of(context: int, horizon: int, patch_size: int) -> int:
    """How many tokens one channel of one forecast is."""
    return -(-context // patch_size) + -(-horizon // patch_size)


def measure_all(run: "Run[Forecasting]", windows: SeriesWindows) -> dict[str, float]:
    """The scores of a run over all these forecasts."""
    score = _score(run.processor, run.model.config)
    size = tokens_of(windows.context, windows.horizon, run.model.config.patch_size) * len(windows.series.columns)
    with torch.inference_mode():
        for indices in TokenBatches([size] * len(windows), batch_tokens=max(size, 1 << 15)):
            batch = stack([windows[index] for index in indices])
            _measure(run.model, {name: value.to(run.model.device) for name, value in batch.items()}, score)
    return {"forecasts": len(windows), **score.result()}


def _score(reader: SeriesReader, config: Any) -> ForecastMetric:
    return ForecastMetric(reader.columns, reader.season_errors, config.quantiles)


def _measure(model: nn.Module, batch: dict[str, Any], score: ForecastMetric) -> tuple[float, int]:
    found = model(**batch)
    labels = batch["labels"].float().cpu().numpy()
    quantiles = None if found.quantiles is None else found.quantiles.float().cpu().numpy()
    score.update(found.prediction.float().cpu().numpy(), labels, quantiles)
    known = int(np.isfinite(labels).sum())
    return float(found.loss) * known, known
