"""Rows of a series laid on equal steps."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reformer.data.cadence import Cadence, Dates
from reformer.data.errors import DataError, OnError
from reformer.data.series import MOST_STEPS_TO_A_ROW
from reformer.wording import counted

_SORT = "sort the rows by date, one for each step"


@dataclass(frozen=True)
class Rows:
    """Rows of one series that have a date."""

    lines: list[int]
    dates: Dates
    values: NDArray[np.float64]

    def __getitem__(self, chosen: NDArray[np.bool_]) -> "Rows":
        lines = [line for line, kept in zip(self.lines, chosen, strict=True) if kept]
        return Rows(lines, self.dates[chosen], self.values[chosen])


@dataclass(frozen=True)
class Grid:
    """Values on equal steps."""

    lines: list[int]
    positions: list[int]
    dates: Dates
    values: NDArray[np.float64]

    @property
    def missing(self) -> int:
        """The number of steps without a row."""
        return len(self.dates) - len(self.positions)


def on_grid(name: str, rows: Rows, cadence: Cadence, on_error: OnError) -> Grid:
    """Rows to equal steps; a row that fits in nowhere is reported."""
    # The first row may be one that fits in nowhere.
    begin = next((at for at in range(len(rows.dates)) if _fits(cadence, rows.dates, at)), 0)
    found = np.concatenate((np.full(begin, -1), cadence.positions(rows.dates[begin:])))
    kept, positions = [], []
    for index, position in enumerate(found.tolist()):
        date, after = rows.dates[index], positions[-1] if positions else -1
        if position > after:
            kept.append(index)
            positions.append(position)
        elif position < 0 and (index < begin or date > rows.dates[begin]):
            told = f"{date} is no whole number of steps of {cadence} after {rows.dates[begin]}"
            on_error(DataError(name, rows.lines[index], told, "give rows that are equally far apart"))
        else:
            told = "the same date as an earlier row's" if position in positions[-2:] else "earlier than the row before"
            on_error(DataError(name, rows.lines[index], f"{date} is {told}", _SORT))
    steps = positions[-1] + 1
    if steps > MOST_STEPS_TO_A_ROW * len(kept):
        first, last = rows.dates[kept[0]], rows.dates[kept[-1]]
        raise DataError(
            name, None, f"{len(kept):,} rows for {counted(steps, 'step')} from {first} to {last}", "check the dates"
        )
    values = np.full((steps, rows.values.shape[1]), np.nan)
    values[positions] = rows.values[kept]
    dates = cadence.dates(rows.dates[begin], steps)
    return Grid([rows.lines[index] for index in kept], positions, dates, values)


def _fits(cadence: Cadence, dates: Dates, at: int) -> bool:
    """Whether a date lies on a step, which of seconds every one does."""
    return cadence.unit == "s" or bool(cadence.positions(dates[at : at + 1])[0] == 0)


def first_gap(name: str, grid: Grid, cadence: Cadence) -> DataError | None:
    """The error of the first step without a row or without a number behind the first one; None if there is none."""
    holes = np.flatnonzero(np.diff(grid.positions) > 1)
    row = int(holes[0]) if len(holes) else len(grid.positions)
    unknown = np.isnan(grid.values[grid.positions])
    cells = np.flatnonzero((unknown & (np.cumsum(~unknown, 0) > 0)).any(1))
    remedy = 'data.gaps = "fill" repeats the number before, "missing" leaves them out, "refuse" stops'
    if len(cells) and cells[0] <= row:
        row = int(cells[0])
        told = f"nothing was observed at {grid.dates[grid.positions[row]]}"
    elif len(holes):
        steps = grid.positions[row + 1] - grid.positions[row] - 1
        told = f"there is no row for {counted(steps, 'step')} of {cadence} after {grid.dates[grid.positions[row]]}"
        row += 1
    else:
        return None
    told = f"{told}; in all, {grid.missing:,} of {len(grid.dates):,} steps have no row"
    return DataError(name, grid.lines[row], told, remedy)


def filled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each missing value as the one before; those before the first stay missing."""
    steps = np.where(np.isfinite(values), np.arange(len(values))[:, None], 0)
    return np.take_along_axis(values, np.maximum.accumulate(steps, axis=0), axis=0)
