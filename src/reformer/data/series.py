"""`Series`: numbers of several channels on a grid of dates, and the features of a date."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reformer.data.cadence import Cadence, Dates
from reformer.data.date_forms import DateForm
from reformer.data.errors import DataError

MOST_STEPS_TO_A_ROW = 100
"""So many steps without a row, to each with one, are no gap any more: the dates are wrong."""


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
    notes: tuple[str, ...] = ()
    """What its reader decided or left out, in words."""

    def dates_after(self, count: int) -> Dates:
        """The dates of the next steps."""
        return self.cadence.dates(self.dates[-1], count + 1)[1:]

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
        raise DataError(name, None, f"{rows:,} steps of its series over {steps:,} steps", "check the dates")
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
        notes=notes,
    )


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
