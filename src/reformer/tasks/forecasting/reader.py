"""Reader of series that a run keeps."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor

from reformer.data import DataError, Series
from reformer.data.batching.series_windows import stack
from reformer.data.cadence import Cadence
from reformer.data.errors import OnError, raise_error
from reformer.data.readers import SeriesOptions, read_panel
from reformer.data.series import channel_name, joined_series
from reformer.files import write
from reformer.tasks.forecasting.covariates import CovariateEncoder
from reformer.tasks.forecasting.series_recipe import Dst, SeriesDataRecipe
from reformer.wording import counted

SERIES_FILE = "series.json"
ANCHORS = r"^(|[1-9]|[12]\d|3[01]|business (start|end)|[01]{7})$"
DAYS_OF_A_WEEK = 7
MOST_NAMES = 8
"""Series that a message names."""


@dataclass(frozen=True)
class SeriesReader:
    """Reader of series for a forecaster: the columns and steps it has learned, and the errors that MASE divides by."""

    columns: tuple[str, ...]
    date_columns: tuple[str, ...] | None
    step: int
    unit: Literal["s", "D", "M"]
    season: int
    season_errors: tuple[float, ...]
    """The mean absolute difference of each channel from itself a season before, the unit of MASE."""
    anchor: Annotated[str, Field(pattern=ANCHORS)] = ""
    series_column: str | None = None
    value_columns: tuple[str, ...] | None = None
    """Where the channels are series of a table in long form, the columns of each."""
    date_format: str | None = None
    date_order: str | None = None
    """Whether the day or the month comes first in the training file, for files that do not tell."""
    decimal: Literal[".", ","] | None = None
    dst: Dst | None = None
    gaps: Literal["missing", "fill", "refuse"] = "missing"
    header: bool = True
    covariates: CovariateEncoder | None = None
    encoding: str | None = None
    """Of the files to read next, which need not be that of the training file, and is not kept."""

    @property
    def units(self) -> Float64[np.ndarray, " channels"]:
        """Powers of two about as large as the seasons' errors, in which a model sees the channels.

        Without them the model could not tell how large a change is in a channel that does not change for a while.
        """
        return np.ldexp(1.0, np.frexp(self.season_errors)[1] - 1)

    def units_of(self, series: Series) -> Float64[np.ndarray, " channels"]:
        """The units of one series of a file; those of a series that was not learned are told by itself."""
        learned = dict(zip(self.columns, self.units.tolist(), strict=True))
        units = []
        for channel, column in enumerate(series.columns):
            unit = learned.get(channel_name(series.member, column, series.columns))
            units.append(_unit_of(series.values[:, channel], self.season) if unit is None else unit)
        return np.array(units)

    def collate(
        self,
        windows: Sequence[dict[str, NDArray[np.floating]]],
        units: Float64[np.ndarray, " channels"] | None = None,
    ) -> dict[str, Tensor]:
        """Windows of equal lengths as a batch, in `units`: by default those of the run's channels."""
        batch, sizes = stack(windows), torch.from_numpy(self.units if units is None else units)
        known, static = batch.pop("known", None), batch.pop("static", None)
        if self.covariates is not None and known is not None and static is not None:
            batch |= self.covariates.encode(known, static)
        return batch | {name: batch[name] / sizes for name in ("values", "labels") if name in batch}

    @property
    def cadence(self) -> Cadence:
        """How far apart the steps are that were learned."""
        return Cadence(self.step, self.unit, self.anchor)

    @property
    def options(self) -> SeriesOptions:
        """How a file is read."""
        told = self.covariates
        return SeriesOptions(
            encoding=self.encoding,
            header=self.header,
            date_columns=self.date_columns,
            columns=self.columns if self.value_columns is None else self.value_columns,
            known_columns=() if told is None else told.known_columns,
            static_columns=() if told is None else told.static_columns,
            categories=None if told is None else told.categories,
            series_column=self.series_column,
            date_format=self.date_format,
            date_order=self.date_order,
            decimal=self.decimal,
            dst=self.dst,
            gaps=self.gaps,
            cadence=self.cadence,
        )

    def read_future(self, path: str, series: Sequence[Series]) -> dict[str | None, Series]:
        """The known columns of a table about the time after the end of these series, by the names of its series.

        Raises:
            DataError: it cannot be read.
        """
        options = replace(self.options, columns=(), static_columns=(), cadence=series[0].cadence)
        return {each.member: each for each in read_panel(path, options)}

    def read_each(self, path: str, on_error: OnError = raise_error) -> list[Series]:
        """The series of a file: one, or all of a table in long form.

        Raises:
            DataError: it cannot be read, or its steps are not those that were learned.
        """
        series = read_panel(path, self.options, on_error)
        found, learned = series[0].cadence, self.cadence
        # The day of a month is the file's affair.
        if (found.step, found.unit) != (learned.step, learned.unit) or (found != learned and found.unit == "D"):
            raise DataError(
                path,
                None,
                f"its rows are {found} apart, and the model has learned {learned}",
                "give rows as far apart as those it was trained on",
            )
        return series

    def read(self, path: str, on_error: OnError = raise_error) -> Series:
        """The series of a file in the run's channels, NaN in those of series that the file has not.

        Raises:
            DataError: as `read_each`, or the file has a series that was not learned.
        """
        joined = joined_series(path, self.read_each(path, on_error))
        if joined.columns == self.columns:
            return joined
        new = [column for column in joined.columns if column not in self.columns]
        if new:
            raise DataError(
                path,
                None,
                f"the run has not learned the series {', '.join(map(repr, new[:MOST_NAMES]))}, whose errors therefore "
                "have no unit",
                "leave them out; `reformer predict` forecasts them",
            )
        return joined.of_channels(self.columns)

    def save_pretrained(self, save_directory: Any) -> None:
        """Write `series.json` into the folder."""
        kept = asdict(self)
        del kept["encoding"]
        text = json.dumps(kept, ensure_ascii=False, indent=2)
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
        is_week = len(reader.anchor) == DAYS_OF_A_WEEK and "1" in reader.anchor
        if (reader.unit == "D") != is_week:
            told = f"steps of {reader.unit} and the days {reader.anchor!r} do not fit together"
            raise DataError(file, None, told, "train the model again")
        if not reader.columns or len(reader.columns) != len(reader.season_errors) or not all(x > 0 for x in positive):
            told = (
                f"{counted(len(reader.columns), 'column')}, steps of {reader.step}, seasons of {reader.season} "
                "and their errors"
            )
            raise DataError(file, None, f"{told} do not fit together", "train the model again")
        if reader.covariates is not None and not reader.covariates.is_whole:
            raise DataError(
                file, None, "the covariates' columns and scales do not fit together", "train the model again"
            )
        return reader


def make_reader(series: Series, recipe: SeriesDataRecipe, known: int) -> SeriesReader:
    """The reader of a run whose training part are the first `known` steps.

    Raises:
        DataError: they are fewer than two seasons, or a channel is the same in each, so that MASE would divide by zero.
    """
    season = recipe.season_length
    if known <= season:
        raise DataError(
            series.name, None, f"{counted(known, 'step')} to learn from and a season of {season:,}", "give more"
        )
    errors = season_errors_of(series.values[:known], season)
    for column, error in zip(series.columns, errors, strict=True):
        if error == np.inf:
            raise DataError(
                series.name,
                None,
                f"the numbers of the column {column!r} are so large that their differences overflow",
                "divide them by a power of ten",
            )
        numbers = np.isfinite(series.values[:, series.columns.index(column)])
        if not numbers[:known].any():
            raise DataError(
                series.name,
                None,
                f"the column {column!r} has no number in the training part, which ends before "
                f"{series.written(series.dates[known])}; its first is at "
                f"{series.written(series.dates[numbers.argmax()])}",
                "leave it out of data.columns, or train on a longer part",
            )
        if error == 0:
            raise DataError(
                series.name,
                None,
                f"the column {column!r} is the same in every season of the training part",
                "leave it out of data.columns",
            )
    dates = None if recipe.date_columns is None else tuple(recipe.date_columns)
    return SeriesReader(
        series.columns,
        dates,
        series.step,
        series.unit,
        season,
        tuple(errors),
        anchor=series.anchor,
        date_format=recipe.date_format,
        date_order=None if series.form is None else series.form.order,
        decimal=recipe.decimal,
        dst=recipe.dst,
        gaps=recipe.gaps,
        header=recipe.header,
        covariates=CovariateEncoder.fit(series, known),
    )


def _unit_of(values: Float64[np.ndarray, " steps"], season: int) -> float:
    """A power of two about as large as a channel's change over a season, or as itself where it does not change."""
    known = np.isfinite(values)
    differences = np.abs(values[season:] - values[:-season])[known[season:] & known[:-season]]
    for sizes in (differences, np.abs(values[known])):
        size = float(sizes.mean()) if len(sizes) else 0.0
        if 0 < size < np.inf:
            return float(np.ldexp(1.0, np.frexp(size)[1] - 1))
    return 1.0


def season_errors_of(values: Float64[np.ndarray, "steps channels"], season: int) -> list[float]:
    """Each channel's mean absolute difference from itself a season before, 0 where there is none."""
    with np.errstate(invalid="ignore", over="ignore"):
        moved = np.abs(values[season:] - values[:-season])
        return [float(np.nanmean(column)) if not np.isnan(column).all() else 0.0 for column in moved.T]
