"""Splits of a time series in time, and the reader that a run keeps."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError, model_validator
from torch import Tensor

from reformer.data import DataError, Series, load_series, read_series
from reformer.data.batching.series_windows import SeriesWindows, stack
from reformer.data.errors import OnError, raise_error
from reformer.files import write
from reformer.recipe import AtLeastOne, DataRecipe
from reformer.tasks.base import describe_splits

SERIES_FILE = "series.json"

# Forecasts that are evaluated begin this often within a horizon.
FORECASTS_TO_A_HORIZON = 4


class SeriesDataRecipe(DataRecipe, frozen=True):
    """Time series to forecast."""

    deprecated_names: ClassVar[Mapping[str, str]] = {"horizon": "prediction_length", "season": "season_length"}

    date_columns: list[str] | None = Field(
        None,
        description="the column of dates, or those of year, month, day, hour, minute; none: the first that begins with "
        "a date",
    )
    columns: list[str] | None = Field(None, description="the columns to predict; none: all that begin with a number")
    context_length: AtLeastOne = Field(description="the number of past steps to predict from", examples=[1024])
    prediction_length: AtLeastOne = Field(description="the number of steps to predict", examples=[96])
    season_length: AtLeastOne = Field(
        1,
        description="the steps of a season, such as 24 for hours; MASE compares errors with those of repeating the "
        "last season, or with 1 the last value",
    )
    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="how much of the series' end to report on; none: nothing, or the test file"
    )

    @model_validator(mode="after")
    def _one_of_each(self) -> "SeriesDataRecipe":
        if self.source is not None and self.date_columns is not None:
            raise ValueError("a source has its own dates; leave out date_columns")
        if self.test is not None and self.test_fraction is not None:
            raise ValueError("test and test_fraction: give one of them")
        return self


@dataclass(frozen=True)
class SeriesReader:
    """Reader of series for a forecaster: the columns and steps it has learned, and the errors that MASE divides by."""

    columns: tuple[str, ...]
    date_columns: tuple[str, ...] | None
    step: int
    unit: Literal["s", "M"]
    season: int
    season_errors: tuple[float, ...]
    """The mean absolute difference of each channel from itself a season before, the unit of MASE."""

    @property
    def units(self) -> Float64[np.ndarray, " channels"]:
        """Powers of two about as large as the seasons' errors, in which a model sees the channels.

        Without them the model could not tell how large a change is in a channel that does not change for a while.
        """
        return np.ldexp(1.0, np.frexp(self.season_errors)[1] - 1)

    def collate(self, windows: Sequence[dict[str, NDArray[np.floating]]]) -> dict[str, Tensor]:
        """Windows of equal lengths as a batch, in `units`."""
        batch, units = stack(windows), torch.from_numpy(self.units)
        return batch | {name: batch[name] / units for name in ("values", "labels") if name in batch}

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
        write(Path(save_directory) / SERIES_FILE, f"{text}\n".encode())

    @classmethod
    def load(cls, folder: Path) -> "SeriesReader":
        """The reader that `save_pretrained` has written into the folder.

        Raises:
            DataError: the file is damaged.
        """
        file = folder / SERIES_FILE
        try:
            reader = TypeAdapter(cls).validate_json(file.read_bytes())
        except (OSError, ValidationError) as error:
            reason = str(error).splitlines()[-1] if isinstance(error, OSError) else error.errors()[0]["msg"]
            raise DataError(file, None, f"this cannot be read ({reason})", "train the model again") from None
        positive = (reader.step, reader.season, *reader.season_errors)
        if not reader.columns or len(reader.columns) != len(reader.season_errors) or not all(x > 0 for x in positive):
            told = f"{len(reader.columns)} columns, steps of {reader.step}, seasons of {reader.season} and their errors"
            raise DataError(file, None, f"{told} do not fit together", "train the model again")
        return reader


def make_reader(series: Series, recipe: SeriesDataRecipe, known: int) -> SeriesReader:
    """The reader of a run whose training part are the first `known` steps.

    Raises:
        DataError: they are fewer than two seasons, or a channel is the same in each, so that MASE would divide by zero.
    """
    season = recipe.season_length
    if known <= season:
        raise DataError(series.name, None, f"{known:,} steps to learn from and a season of {season:,}", "give more")
    with np.errstate(invalid="ignore", over="ignore"):
        moved = np.abs(series.values[season:known] - series.values[: known - season])
        errors = [float(np.nanmean(column)) if not np.isnan(column).all() else 0.0 for column in moved.T]
    for column, error in zip(series.columns, errors, strict=True):
        if error == np.inf:
            raise DataError(
                series.name,
                None,
                f"the numbers of the column {column!r} are so large that their differences overflow",
                "divide them by a power of ten",
            )
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
    """Windows of a series for each split; `test` is None where the recipe names none."""

    train: SeriesWindows
    validation: SeriesWindows
    test: SeriesWindows | None
    reader: SeriesReader


def load_series_splits(recipe: SeriesDataRecipe) -> SeriesSplits:
    """Read the recipe's series and split them in time: the later part is evaluated.

    Raises:
        DataError: a series that cannot be read, or that is too short for one forecast in each part.
    """
    series = _read(recipe, recipe.train)
    context, horizon = recipe.context_length, recipe.prediction_length
    end = len(series.dates)
    if recipe.test is None and recipe.test_fraction is not None:
        end -= round(end * recipe.test_fraction)
    learned = end if recipe.validation is not None else end - max(horizon, round(end * recipe.validation_fraction))
    reader = make_reader(series, recipe, max(0, learned))

    def cut(path: str | None, first: int, last: int, every: int) -> SeriesWindows:
        read = series if path is None else reader.read(path)
        if path is not None:
            first, last = 0, len(read.dates)
        windows = SeriesWindows(read, context, horizon, first, last, every)
        if not len(windows):
            raise DataError(
                read.name,
                None,
                f"of its {len(read.dates):,} steps none of those {max(0, last - first):,} can begin a forecast of "
                f"{horizon:,}",
                "give a longer series, a smaller data.prediction_length, or other fractions",
            )
        return windows

    every = max(1, horizon // FORECASTS_TO_A_HORIZON)
    test = None
    if recipe.test is not None or recipe.test_fraction is not None:
        test = cut(recipe.test, end, len(series.dates), every)
    return SeriesSplits(cut(None, 0, learned, 1), cut(recipe.validation, learned, end, every), test, reader)


def describe_series(splits: SeriesSplits) -> Iterator[str]:
    """Lines for the console: the number and the dates of the forecasts of each split."""

    def size(windows: SeriesWindows) -> str:
        dates = windows.series.dates[windows.origins[[0, -1]]]
        return f"{len(windows):,} forecasts of {', '.join(windows.series.columns)}, {dates[0]} to {dates[1]}"

    test = None if splits.test is None else size(splits.test)
    return describe_splits(train=size(splits.train), validation=size(splits.validation), test=test)


def _read(recipe: SeriesDataRecipe, path: str | None) -> Series:
    if recipe.source is not None:
        chosen = None if recipe.columns is None else tuple(recipe.columns)
        return load_series(recipe.source.removeprefix("index:"), columns=chosen)
    assert path is not None
    return read_series(path, date_columns=recipe.date_columns, columns=recipe.columns)
