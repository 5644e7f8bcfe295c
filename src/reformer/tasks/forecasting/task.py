"""Forecasting task: the next steps of a series, with MASE as its metric."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor, nn

from reformer.baselines.statistical import StatisticalForecaster
from reformer.data import DataError, Series, load_series
from reformer.data.batching.series_windows import SeriesWindows
from reformer.data.errors import OnError
from reformer.data.origin import Origin
from reformer.errors import ReformerError
from reformer.files import refuse_overwriting_inputs
from reformer.metrics.forecast_review import ForecastReview
from reformer.metrics.forecasting import ForecastMetric
from reformer.models import ReformerConfig, ReformerForForecasting
from reformer.recipe import Recipe
from reformer.tasks.base import (
    Baseline,
    Evaluation,
    Reviewed,
    Run,
    TaskData,
)
from reformer.tasks.forecasting.backtest import (
    backtest,
    calibrated,
    last_windows,
    model_forecasts,
    new_forecast_metric,
    tokens_of,
    window_lengths,
)
from reformer.tasks.forecasting.baseline import measure_baseline
from reformer.tasks.forecasting.covariates import CovariateEncoder, with_future
from reformer.tasks.forecasting.intervals import fit_intervals
from reformer.tasks.forecasting.linear_fit import fit_linear
from reformer.tasks.forecasting.plot import plot_forecast, plot_paths
from reformer.tasks.forecasting.reader import SERIES_FILE, SeriesReader
from reformer.tasks.forecasting.series_recipe import SeriesDataRecipe
from reformer.tasks.forecasting.splits import FORECASTS_TO_A_HORIZON, describe_series, load_series_splits
from reformer.tasks.model_setup import PretrainedStart, check_length, make_config
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.predicting import PredictingTask
from reformer.tasks.predictions import Prediction
from reformer.wording import counted

TIME_FEATURES = 6


class SeriesRecipe(Recipe, frozen=True):
    """Recipe of forecasting."""

    data: SeriesDataRecipe


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """A series of a file."""

    series: Series
    origin: Origin


@dataclass(frozen=True, slots=True)
class ForecastSequence:
    """The end of a series, as the model reads it."""

    record: SeriesRecord
    ids: range
    window: dict[str, Any]
    known: Sequence[bool]
    """Of each column, whether it has a number that the model reads."""
    plot: Path | None
    """Where to draw the forecast."""


Forecast = tuple[Float64[np.ndarray, "horizon channels"], Float64[np.ndarray, "horizon channels levels"] | None]
"""Points and quantiles, in the series' own units."""


class Forecasting(PredictingTask):
    """The next steps of every numeric column of a table with dates."""

    head = ReformerForForecasting
    best_metric = "mase"
    greater_is_better = False
    recipe_type = SeriesRecipe
    processor_file = SERIES_FILE
    suffixes = (".csv", ".tsv", ".txt")
    predict_options = frozenset(
        {
            *("split", "pictures", "overwrite", "dst", "encoding", "header", "future_covariates"),
            *("origins", "step", "baselines"),
        }
    )

    def check_recipe(self, recipe: SeriesRecipe) -> None:
        super().check_recipe(recipe)
        context, horizon = recipe.data.context_length, recipe.data.prediction_length
        size = recipe.model.get("patch_size", ReformerConfig.patch_size)
        if isinstance(size, int) and size > 0:
            tokens = tokens_of(context, horizon, size)
            what = f"data.context_length and data.prediction_length make {tokens} tokens with model.patch_size = {size}"
            check_length(recipe, tokens, what)

    def load_data(self, recipe: SeriesRecipe, start: PretrainedStart | None = None) -> "ForecastingData":
        return ForecastingData(recipe, start)

    def load_processor(self, folder: Path) -> SeriesReader:
        return SeriesReader.load(folder)

    reads_records = False
    counts_ahead = False

    def sequences(
        self, run: "Run[Forecasting]", files: Iterable[str], options: PredictOptions, on_error: OnError
    ) -> Iterator[ForecastSequence]:
        """The series of the files, each of which is forecast from its own end on."""
        run = _reading(run, options)
        files, overwrite = list(files), bool(options.overwrite)
        _check_future(run, options, files)
        plots = {} if options.pictures is None else plot_paths(files, options.pictures, overwrite=overwrite)
        config: Any = run.model.config
        for place, file in enumerate(files):
            try:
                parts: list[Series] = run.processor.read_each(file, on_error)
                future = {}
                if options.future_covariates is not None:
                    future = run.processor.read_future(str(options.future_covariates), parts)
            except DataError as error:
                on_error(error)
                continue
            for number, series in enumerate(parts):
                plot = plots.get(file)
                if plot is not None and series.member is not None:
                    plot = plot.with_name(f"{Path(file).name}.{quote(series.member, safe='')}.png")
                    refuse_overwriting_inputs(plot, files)
                try:
                    if options.future_covariates is not None:
                        series = with_future(series, future, str(options.future_covariates))
                    self._check_covariates(run, series, file, ahead=True)
                except DataError as error:
                    on_error(error)
                    continue
                windows = self._windows(run, series, PredictOptions())
                window = windows.window(len(series.dates))
                known = _known_columns(run, file, series, window["values"], on_error)
                if any(known):
                    origin = Origin((place, number, config.prediction_length), file)
                    tokens = range(window_lengths(windows, config)[0])
                    yield ForecastSequence(SeriesRecord(series, origin), tokens, window, known, plot)

    def answering(
        self, run: "Run[Forecasting]", options: PredictOptions
    ) -> Callable[[list[ForecastSequence]], list[Forecast]]:
        def answer(sequence: ForecastSequence) -> Forecast:
            units = run.processor.units_of(sequence.record.series)
            found, of_levels = model_forecasts(run, run.processor.collate([sequence.window], units))
            of_levels = calibrated(run, of_levels)
            return found[0] * units, None if of_levels is None else of_levels[0] * units[:, None]

        return lambda batch: list(map(answer, batch))

    def predictions(
        self, run: "Run[Forecasting]", sequence: ForecastSequence, answer: Forecast, options: PredictOptions
    ) -> Iterator[Prediction]:
        """A record for each step of the horizon: file, date, and each column with its quantiles.

        Of a file with several series, a record names its series, too.
        """
        (point, quantiles), series, levels = answer, sequence.record.series, run.model.config.quantiles
        place, number, _ = sequence.record.origin.key
        dates = series.dates_after(len(point))
        for step, date in enumerate(dates):
            record: dict[str, Any] = {"file": sequence.record.origin.file}
            if series.member_column is not None:
                record[series.member_column] = series.member
            record["date"] = series.written(date)
            for channel, column in enumerate(series.columns):
                known = sequence.known[channel]
                record[column] = float(point[step, channel]) if known else None
                for level_number, level in enumerate(levels):
                    if quantiles is not None and level != 0.5:
                        value = float(quantiles[step, channel, level_number]) if known else None
                        record[f"{column} {level:g}"] = value
            yield Prediction((place, number, step + 1), record)
        if sequence.plot is not None:
            plot_forecast(series, dates, point, quantiles, levels, sequence.plot, overwrite=bool(options.overwrite))

    def evaluate(
        self, run: "Run[Forecasting]", sources: Sequence[str], options: PredictOptions
    ) -> dict[str, int | float]:
        """Metrics over the whole series, or over the part of a data set that the recipe's fractions give a split."""
        return self.review(run, sources, options).metrics

    def review(self, run: "Run[Forecasting]", sources: Sequence[str], options: PredictOptions) -> ForecastReview:
        """The errors of the run and of simpler methods over what `evaluate` measures."""
        config = run.model.config
        statistical = [
            StatisticalForecaster(name, run.processor.season, config.prediction_length, config.quantiles)
            for name in dict.fromkeys(options.baselines or ())
        ]
        run = _reading(run, options)
        windows = self._evaluated(run, sources, options)
        return backtest(run, windows, statistical, by_origin=options.origins is not None)

    def evaluation(
        self, run: "Run[Forecasting]", sources: Sequence[str], options: PredictOptions, *, reviewed: bool
    ) -> Evaluation:
        """As `evaluate`, beside the seasonal naive forecast and the methods that the options name."""
        review = self.review(run, sources, options)
        return Evaluation(
            review.metrics,
            compared=review.baseline_metrics(),
            tables={"origins": review.origin_rows()} if options.origins is not None else {},
            details={
                "not_scored": review.not_scored,
                "not_fitted": [asdict(failed) for failed in review.not_fitted],
            },
            notes=review.notes(),
            review=review if reviewed else None,
        )

    def calibration_note(self, run: "Run[Forecasting]") -> str | None:
        if len(run.model.config.quantiles) < 2 or run.calibration.intervals is not None:
            return None
        return f"the quantiles are not calibrated: {run.calibration.reason}"

    def _evaluated(self, run: "Run[Forecasting]", sources: Sequence[str], options: PredictOptions) -> SeriesWindows:
        """The windows that are evaluated."""
        if len(sources) != 1:
            raise DataError(
                None, None, f"{len(sources)} files are given to forecast", "give one, as each has units of its own"
            )
        [source] = sources
        recipe = run.recipe.data
        if source.startswith("index:"):
            if source == recipe.source and options.origins is None and options.step is None:
                splits = load_series_splits(recipe)
                parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
                windows = parts.get(options.split or "test")
                if windows is None:
                    left = ", ".join(name for name, part in parts.items() if part is not None)
                    raise DataError(
                        source, None, f"the recipe leaves no split {options.split!r}", f"name one of {left}"
                    )
            else:
                series = load_series(source.removeprefix("index:"), columns=run.processor.columns)
                windows = self._windows(run, series, options)
        else:
            windows = self._windows(run, run.processor.read(source), options)
        self._check_covariates(run, windows.series, source, ahead=False)
        if not len(windows):
            raise DataError(source, None, "it is too short for one forecast", "give a longer series")
        return windows

    def _windows(self, run: "Run[Forecasting]", series: Series, options: PredictOptions) -> SeriesWindows:
        context, horizon = run.recipe.data.context_length, run.recipe.data.prediction_length
        if options.origins is not None:
            return last_windows(series, context, horizon, options.origins, options.step or horizon)
        every = options.step or max(1, horizon // FORECASTS_TO_A_HORIZON)
        return SeriesWindows(series, context, horizon, 0, len(series.dates), every)

    def _check_covariates(self, run: "Run[Forecasting]", series: Series, file: str, *, ahead: bool) -> None:
        covariates = run.processor.covariates
        if covariates is not None:
            covariates.check(series, file, run.recipe.data.prediction_length if ahead else 0)


class ForecastingData(TaskData[SeriesWindows]):
    """Windows of one series, split in time.

    Raises:
        DataError: a row that cannot be read, or a series that is too short.
    """

    def __init__(self, recipe: SeriesRecipe, start: PretrainedStart | None = None) -> None:
        self._splits = load_series_splits(recipe.data)
        self.processor = self._reader = self._splits.reader
        self.config = make_config(
            recipe,
            None,
            start,
            prediction_length=recipe.data.prediction_length,
            num_time_features=TIME_FEATURES,
            **(self._reader.covariates or CovariateEncoder()).config_fields(),
        )
        self.train, self.validation = self._splits.train, self._splits.validation

    def lengths(self, dataset: SeriesWindows) -> list[int]:
        return window_lengths(dataset, self.config)

    def collate(self, examples: Sequence[Any]) -> dict[str, Tensor]:
        return self._reader.collate(examples)

    def initialize(self, model: ReformerForForecasting) -> None:
        fit_linear(model, self._splits)

    def new_metric(self) -> ForecastMetric:
        return new_forecast_metric(self._reader, self.config.quantiles)

    def evaluate_batch(self, model: nn.Module, batch: dict[str, Any], metric: Any) -> tuple[float, int]:
        return _evaluate_batch(model, batch, metric)

    def test_metrics(self, run: Run[Forecasting]) -> dict[str, int | float] | None:
        return None if self._splits.test is None else backtest(run, self._splits.test).metrics

    def review(self, run: Run[Forecasting]) -> Reviewed:
        calibration = fit_intervals(run, self._splits.calibration)
        run = replace(run, calibration=calibration)
        parts = {"validation": backtest(run, self._splits.validation)}
        if self._splits.test is not None:
            parts["test"] = backtest(run, self._splits.test)
        return Reviewed(calibration, parts)

    def baseline(self) -> Baseline:
        return measure_baseline(self._splits, self.config.linear_context or self._splits.train.context)

    def describe(self) -> Iterator[str]:
        return describe_series(self._splits)


def _reading(run: Run[Forecasting], options: PredictOptions) -> Run[Forecasting]:
    """The run with a reader that does as the options say."""
    said = {name: getattr(options, name) for name in ("dst", "header") if getattr(options, name) is not None}
    return replace(run, processor=replace(run.processor, encoding=options.encoding, **said))


def _known_columns(
    run: Run[Forecasting],
    file: str,
    series: Series,
    values: Float[np.ndarray, "context channels"],
    on_error: OnError,
) -> list[bool]:
    """Whether each column has a number in the steps that the model reads; one that has none is told of."""
    known = [bool(np.isfinite(column).any()) for column in values.T]
    for column in (column for column, some in zip(series.columns, known, strict=True) if not some):
        whose = "" if series.member is None else f" of {series.member!r}"
        told = (
            f"the last {counted(run.recipe.data.context_length, 'step')} of the column {column!r}{whose} have no number"
        )
        on_error(DataError(file, None, f"{told}, so that there is no forecast", "give later numbers of it"))
    return known


def _check_future(run: Run[Forecasting], options: PredictOptions, files: Sequence[str]) -> None:
    if options.future_covariates is None:
        return
    covariates = run.processor.covariates
    if covariates is None or not covariates.known_columns:
        raise ReformerError(
            "--future-covariates means nothing to a run that has learned no data.known_columns; leave it out"
        )
    if len(files) != 1:
        raise ReformerError(
            f"--future-covariates tells the future of one file, and there are {len(files)}; predict for each of them"
        )


def _evaluate_batch(model: nn.Module, batch: dict[str, Any], metric: ForecastMetric) -> tuple[float, int]:
    outputs = model(**batch)
    labels = batch["labels"].double().cpu().numpy()
    quantiles = None if outputs.quantiles is None else outputs.quantiles.double().cpu().numpy()
    metric.update(outputs.prediction.double().cpu().numpy(), labels, quantiles)
    observed = int(np.isfinite(labels).sum())
    return float(outputs.loss) * observed, observed
