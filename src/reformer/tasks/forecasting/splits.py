"""Time series split in time, and the reader that a run keeps."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from reformer.data import DataError, Series, load_series, read_series
from reformer.data.batching.series_windows import SeriesWindows
from reformer.data.errors import OnError, raise_error
from reformer.recipe import DataRecipe

SERIES_FILE = "series.json"

# A forecast is measured this often within a horizon.
FORECASTS_TO_A_HORIZON = 4


@dataclass(frozen=True)
class SeriesReader:
    """What a forecaster's run keeps of the series it has learned: what to read, and how large its errors would be."""

    columns: tuple[str, ...]
    date_columns: tuple[str, ...] | None
    step: int
    unit: str
    season: int
    season_errors: tuple[float, ...]
    """By how much each channel differs from itself a season before, on average; what MASE is measured in."""

    def read(self, path: str, on_error: OnError = raise_error) -> Series:
        """The series of a file, in the run's channels.

        Raises:
            DataError: it cannot be read, or its steps are not those that were learned.
        """
        series = read_series(path, date_columns=self.date_columns, columns=self.columns, on_error=on_error)
        if (series.step, series.unit) != (self.step, self.unit):
            raise DataError(
                path,
                None,
                f"its rows are {series.cadence} apart, and the model has learned {self.step} "
                f"{'months' if self.unit == 'M' else 'seconds'}",
                "give rows as far apart as those it was trained on",
            )
        return series

    def save_pretrained(self, save_directory: Any) -> None:
        """Write `series.json` into the folder."""
        text = json.dumps(asdict(self), ensure_ascii=False, indent=2)
        (Path(save_directory) / SERIES_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read it from there again."""
        found: dict[str, Any] = json.loads((folder / SERIES_FILE).read_text(encoding="utf-8"))
        lists: dict[str, Any] = {name: tuple(value) for name, value in found.items() if isinstance(value, list)}
        return cls(**(found | lists))


def make_reader(series: Series, recipe: DataRecipe, known: int) -> SeriesReader:
    """The reader of a run whose training part are the first `known` steps.

    Raises:
        DataError: they are no two seasons, or a channel is the same in each, so that no error can be measured in it.
    """
    season = recipe.season or 1
    if known <= season:
        raise DataError(series.name, None, f"{known:,} steps to learn from and a season of {season:,}", "give more")
    with np.errstate(invalid="ignore"):
        moved = np.abs(series.values[season:known] - series.values[: known - season])
    errors = [float(np.nanmean(column)) if np.isfinite(column).any() else 0.0 for column in moved.T]
    for column, error in zip(series.columns, errors, strict=True):
        if error == 0:
            raise DataError(
                series.name,
                None,
                f"the column {column!r} is the same in every season of the training part",
                "leave it out of data.columns",
            )
    dates = None if recipe.date_columns is None else tuple(recipe.date_columns)
    return SeriesReader(series.columns, dates, series.step, series.unit, season, tuple(errors))


@dataclass(frozen=True)
class SeriesSplits:
    """Forecasts to learn from, to choose the best weights with and, if there are any, to report on."""

    train: SeriesWindows
    validation: SeriesWindows
    test: SeriesWindows | None
    reader: SeriesReader


def load_series_splits(recipe: DataRecipe) -> SeriesSplits:
    """Read the recipe's series and split them in time: the future is what is measured.

    Raises:
        DataError: a series that cannot be read, or that is too short for one forecast in each part.
    """
    series = _read(recipe, recipe.train)
    context, horizon = recipe.context_length, recipe.horizon
    assert context is not None
    assert horizon is not None
    end = len(series.dates)
    if recipe.test is None and recipe.test_fraction is not None:
        end -= round(end * recipe.test_fraction)
    learned = end if recipe.validation is not None else end - max(horizon, round(end * recipe.validation_fraction))
    reader = make_reader(series, recipe, max(0, learned))

    def windows(path: str | None, first: int, last: int, every: int) -> SeriesWindows:
        read = series if path is None else reader.read(path)
        if path is not None:
            first, last = 0, len(read.dates)
        found = SeriesWindows(read, context, horizon, first, last, every)
        if not len(found):
            raise DataError(
                read.name,
                None,
                f"of its {len(read.dates):,} steps none of those {max(0, last - first):,} can begin a forecast of "
                f"{horizon:,}",
                "give a longer series, a smaller data.horizon, or other fractions",
            )
        return found

    every = max(1, horizon // FORECASTS_TO_A_HORIZON)
    test = None
    if recipe.test is not None or recipe.test_fraction is not None:
        test = windows(recipe.test, end, len(series.dates), every)
    return SeriesSplits(windows(None, 0, learned, 1), windows(recipe.validation, learned, end, every), test, reader)


def sizes(splits: SeriesSplits) -> Iterator[str]:
    """Lines that say how much there is of each."""
    named = (("learning from", splits.train), ("choosing with", splits.validation), ("reporting on ", splits.test))
    for verb, windows in named:
        if windows is not None:
            dates = windows.series.dates[windows.origins[[0, -1]]]
            yield f"{verb} {len(windows):,} forecasts of {', '.join(windows.series.columns)}, {dates[0]} to {dates[1]}"


def _read(recipe: DataRecipe, path: str | None) -> Series:
    if recipe.source is not None:
        chosen = None if recipe.columns is None else tuple(recipe.columns)
        return load_series(recipe.source.removeprefix("index:"), columns=chosen)
    assert path is not None
    return read_series(path, date_columns=recipe.date_columns, columns=recipe.columns)
