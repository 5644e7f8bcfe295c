"""`Series`: numbers of several channels on a grid of dates, and the features of a date."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reformer.data.cadence import Cadence, Dates
from reformer.data.date_forms import DateForm
from reformer.data.errors import DataError
from reformer.wording import counted

MOST_STEPS_TO_A_ROW = 100
"""So many steps without a row, to each with one, are no gap any more: the dates are wrong."""


@dataclass(frozen=True)
class Covariates:
    """What is known of the channels of a series besides their values.

    A category is its number among `categories`, from 1 on, and 0 where the cell is empty; NaN is where nothing is
    known.
    """

    known_columns: tuple[str, ...]
    known: NDArray[np.float64]
    """`[steps, channels, known columns]`, of the series' steps and of those behind them that the file tells of."""
    static_columns: tuple[str, ...]
    static: NDArray[np.float64]
    """`[channels, static columns]`."""
    categories: Mapping[str, tuple[str, ...]]
    """Of each column of categories, their names."""

    def of_channels(self, chosen: Sequence[int | None]) -> "Covariates":
        """Those of other channels, by their places; None where nothing is known of a channel."""
        places = [-1 if place is None else place for place in chosen]
        pad = ((0, 0), (0, 1), (0, 0))
        known = np.pad(self.known, pad, constant_values=np.nan)[:, places]
        static = np.pad(self.static, pad[1:], constant_values=np.nan)[places]
        return replace(self, known=known, static=static)


@dataclass(frozen=True)
class Series:
    """Channels over steps that are equally far apart: so many seconds, months or days of a week (see `Cadence`)."""

    name: str
    columns: tuple[str, ...]
    dates: Dates
    """`[steps]`."""
    values: NDArray[np.float64]
    """`[steps, channels]`, NaN where nothing was observed."""
    step: int
    unit: Literal["s", "D", "M"]
    anchor: str = ""
    form: DateForm | None = None
    """How the file writes its dates; None: in ISO form."""
    member: str | None = None
    """Of a file with several series, which one this is."""
    member_column: str | None = None
    """The column of such a file that says so."""
    covariates: Covariates | None = None
    notes: tuple[str, ...] = ()
    """What its reader decided or left out, in words."""

    def dates_after(self, count: int) -> Dates:
        """The dates of the next steps."""
        return self.cadence.dates(self.dates[-1], count + 1)[1:]

    def of_channels(self, columns: Sequence[str]) -> "Series":
        """The series in these channels, NaN in those that it has not."""
        places = [self.columns.index(column) if column in self.columns else None for column in columns]
        values = np.pad(self.values, ((0, 0), (0, 1)), constant_values=np.nan)
        values = values[:, [-1 if place is None else place for place in places]]
        covariates = None if self.covariates is None else self.covariates.of_channels(places)
        return replace(self, columns=tuple(columns), values=values, covariates=covariates)

    def written(self, date: np.datetime64) -> str:
        """A date as the file writes it."""
        return str(date) if self.form is None else self.form.write(date)

    @property
    def cadence(self) -> Cadence:
        """How far apart two steps are."""
        return Cadence(self.step, self.unit, self.anchor)


def joined_series(name: str, parts: Sequence[Series]) -> Series:
    """Series of one file as the channels of one, NaN where one of them has no step.

    A channel is called as its series is, or, where those have several columns, `SERIES COLUMN`.

    Raises:
        DataError: the steps of one lie between those of another, or far away from them.
    """
    if len(parts) == 1 and parts[0].member is None:
        return parts[0]
    cadence, first = parts[0].cadence, min(part.dates[0] for part in parts)
    begins = [int(cadence.positions(np.array([first, part.dates[0]]))[1]) for part in parts]
    between = [part.member for begin, part in zip(begins, parts, strict=True) if begin < 0]
    if between:
        told = f"the series {between[0]!r} begins at {parts[0].written(parts[begins.index(-1)].dates[0])}"
        told = f"{told}, which is no whole number of steps of {cadence} after {parts[0].written(first)}"
        raise DataError(name, None, told, "give series whose steps fall on the same dates")
    steps = max(begin + len(part.dates) for begin, part in zip(begins, parts, strict=True))
    rows = sum(len(part.dates) for part in parts)
    if steps > MOST_STEPS_TO_A_ROW * rows:
        raise DataError(
            name, None, f"{counted(rows, 'step')} of its series over {counted(steps, 'step')}", "check the dates"
        )
    columns = [channel_name(part.member, column, part.columns) for part in parts for column in part.columns]
    values, channel = np.full((steps, len(columns)), np.nan), 0
    for begin, part in zip(begins, parts, strict=True):
        values[begin : begin + len(part.dates), channel : channel + len(part.columns)] = part.values
        channel += len(part.columns)
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    return replace(
        parts[0],
        name=name,
        columns=tuple(columns),
        dates=cadence.dates(first, steps),
        values=values,
        member=None,
        member_column=None,
        covariates=_joined_covariates(parts, begins),
        notes=notes,
    )


def _joined_covariates(parts: Sequence[Series], begins: Sequence[int]) -> Covariates | None:
    """The covariates of all channels, on the steps of the joined series."""
    each = [part.covariates for part in parts if part.covariates is not None]
    if not each:
        return None
    steps = max(begin + len(one.known) for begin, one in zip(begins, each, strict=True))
    padded = [
        np.pad(one.known, ((begin, steps - begin - len(one.known)), (0, 0), (0, 0)), constant_values=np.nan)
        for begin, one in zip(begins, each, strict=True)
    ]
    return replace(each[0], known=np.concatenate(padded, 1), static=np.concatenate([one.static for one in each]))


def channel_name(member: str | None, column: str, columns: Sequence[str]) -> str:
    """The channel of a column of one of a file's series.

    >>> channel_name("A", "y", ["y"]), channel_name("A", "y", ["x", "y"]), channel_name(None, "y", ["y"])
    ('A', 'A y', 'y')
    """
    if member is None:
        return column
    return member if len(columns) == 1 else f"{member} {column}"


def time_features(dates: Dates) -> NDArray[np.float32]:
    """`[steps, 6]`: where in the day, the week and the year a date lies, as a sine and a cosine each."""
    seconds = dates.astype("datetime64[s]").astype(np.int64)
    years = dates.astype("datetime64[Y]")
    # The first of January 1970 was a Thursday.
    turns = (
        seconds % 86400 / 86400,
        (seconds + 3 * 86400) % (7 * 86400) / (7 * 86400),
        (seconds - years.astype("datetime64[s]").astype(np.int64)) / (366 * 86400),
    )
    angles = 2 * np.pi * np.stack(turns, -1)
    return np.concatenate((np.sin(angles), np.cos(angles)), -1).astype(np.float32)
