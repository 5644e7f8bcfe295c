"""`Series`: numbers of several channels on a grid of dates, and the features of a date."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Dates = NDArray[np.datetime64]


@dataclass(frozen=True)
class Series:
    """Channels over steps that are equally far apart, so many seconds or, where `unit` is "M", months."""

    name: str
    columns: tuple[str, ...]
    dates: Dates
    """`[steps]`."""
    values: NDArray[np.float64]
    """`[steps, channels]`, NaN where nothing was observed."""
    step: int
    unit: Literal["s", "M"]

    def dates_after(self, count: int) -> Dates:
        """The dates of the next steps."""
        return date_grid(self.dates[-1], self.step, self.unit, count + 1)[1:]

    @property
    def cadence(self) -> str:
        """How far apart two steps are, in words."""
        return f"{self.step} {'months' if self.unit == 'M' else 'seconds'}"


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


def date_grid(first: np.datetime64, step: int, unit: str, count: int) -> Dates:
    """`[count]` dates from `first` on, each `step` seconds or, where `unit` is "M", months after the one before.

    >>> date_grid(np.datetime64("2024-11-30T12:00:00"), 1, "M", 3).tolist()[-1].isoformat()
    '2025-01-30T12:00:00'
    """
    if unit == "s":
        return first + np.arange(count) * np.timedelta64(step, "s")
    month = first.astype("datetime64[M]")
    return (month + np.arange(count) * np.timedelta64(step, "M")).astype("datetime64[s]") + (
        first - month.astype("datetime64[s]")
    )
