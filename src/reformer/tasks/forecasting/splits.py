"""Splits of a time series in time."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from reformer.data import DataError, Series, load_series
from reformer.data.batching.series_windows import SeriesWindows
from reformer.data.readers import SeriesOptions, read_panel
from reformer.data.series import joined_series
from reformer.tasks.base import describe_splits
from reformer.tasks.forecasting.reader import MOST_NAMES, SeriesReader, make_reader, season_errors_of
from reformer.tasks.forecasting.series_recipe import SeriesDataRecipe
from reformer.wording import counted

FORECASTS_TO_A_HORIZON = 4
"""Forecasts that are evaluated begin this often within a horizon."""
MAX_CALIBRATION_WINDOWS = 1000
MAX_CALIBRATION_VALUES = 1 << 22
"""Values that intervals are calibrated on, at most, all channels and steps together."""


@dataclass(frozen=True)
class SeriesSplits:
    """Windows of a series for each split; `test` is None where the recipe names none."""

    train: SeriesWindows
    validation: SeriesWindows
    test: SeriesWindows | None
    reader: SeriesReader
    calibration: SeriesWindows
    """Windows of the validation part, from each of its steps on, or from so many of them as there is time for."""


def load_series_splits(recipe: SeriesDataRecipe) -> SeriesSplits:
    """Read the recipe's series and split them in time: the later part is evaluated.

    Raises:
        DataError: a series that cannot be read, or that is too short for one forecast in each part.
    """
    parts = _read(recipe, recipe.train)
    series = joined_series(recipe.train or parts[0].name, parts)
    context, horizon = recipe.context_length, recipe.prediction_length
    end = len(series.dates)
    if recipe.test is None and recipe.test_fraction is not None:
        end -= round(end * recipe.test_fraction)
    learned = end if recipe.validation is not None else end - max(horizon, round(end * recipe.validation_fraction))
    if parts[0].member is not None:
        series = _learnable(series, recipe, max(0, learned))
    reader = make_reader(series, recipe, max(0, learned))
    if parts[0].member is not None:
        reader = replace(reader, series_column=parts[0].member_column, value_columns=parts[0].columns)

    def cut(path: str | None, first: int, last: int, every: int) -> SeriesWindows:
        read = series if path is None else replace(reader, encoding=recipe.encoding).read(path)
        if path is not None:
            first, last = 0, len(read.dates)
        windows = SeriesWindows(read, context, horizon, first, last, every)
        if not len(windows):
            raise DataError(
                read.name,
                None,
                f"of its {counted(len(read.dates), 'step')} none of those {max(0, last - first):,} can begin a "
                "forecast of "
                f"{horizon:,}",
                "give a longer series, a smaller data.prediction_length, or other fractions",
            )
        return windows

    every = max(1, horizon // FORECASTS_TO_A_HORIZON)
    test = None
    if recipe.test is not None or recipe.test_fraction is not None:
        test = cut(recipe.test, end, len(series.dates), every)
    validation = cut(recipe.validation, learned, end, every)
    # Neighbouring origins share most of their steps, but of one step of the horizon each tells another value.
    most = min(MAX_CALIBRATION_WINDOWS, max(1, MAX_CALIBRATION_VALUES // (horizon * len(series.columns))))
    all_origins = cut(recipe.validation, learned, end, 1)
    calibration = cut(recipe.validation, learned, end, -(-len(all_origins) // most))
    return SeriesSplits(cut(None, 0, learned, 1), validation, test, reader, calibration)


def describe_series(splits: SeriesSplits) -> Iterator[str]:
    """Lines for the console: the number and the dates of the forecasts of each split."""

    def size(windows: SeriesWindows) -> str:
        first, last = (windows.series.written(date) for date in windows.series.dates[windows.origins[[0, -1]]])
        columns = windows.series.columns
        more = f" and {len(columns) - MOST_NAMES:,} more" if len(columns) > MOST_NAMES else ""
        return f"{counted(len(windows), 'forecast')} of {', '.join(columns[:MOST_NAMES])}{more}, {first} to {last}"

    yield from splits.train.series.notes
    test = None if splits.test is None else size(splits.test)
    yield from describe_splits(train=size(splits.train), validation=size(splits.validation), test=test)


def _learnable(series: Series, recipe: SeriesDataRecipe, known: int) -> Series:
    """The series of a panel that change in the training part; of the others there is a note."""
    errors = season_errors_of(series.values[:known], recipe.season_length) if known > recipe.season_length else []
    kept = [channel for channel, error in enumerate(errors) if error > 0]
    if not kept or len(kept) == len(series.columns):
        return series
    names = [column for channel, column in enumerate(series.columns) if channel not in kept]
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    note = f"{', '.join(names[:MOST_NAMES])}{more}: nothing changes there in the training part; not learned from"
    return replace(series.of_channels([series.columns[channel] for channel in kept]), notes=(*series.notes, note))


def _read(recipe: SeriesDataRecipe, path: str | None) -> list[Series]:
    if recipe.source is not None:
        chosen = None if recipe.columns is None else tuple(recipe.columns)
        return [load_series(recipe.source.removeprefix("index:"), columns=chosen)]
    assert path is not None
    return read_panel(
        path,
        SeriesOptions(
            encoding=recipe.encoding,
            header=recipe.header,
            date_columns=recipe.date_columns,
            columns=recipe.columns,
            known_columns=recipe.known_columns,
            static_columns=recipe.static_columns,
            categorical_columns=recipe.categorical_columns,
            series_column=recipe.series_column,
            date_format=recipe.date_format,
            decimal=recipe.decimal,
            dst=recipe.dst,
            gaps=recipe.gaps,
        ),
    )
