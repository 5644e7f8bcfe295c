"""Reader of time series in tables: one series, or several in long form."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reformer.data.cadence import DAY, Cadence, Dates
from reformer.data.date_forms import AmbiguousDatesError, DateForm, ParsedDate
from reformer.data.errors import DataError, OnError, raise_error
from reformer.data.readers._clock_changes import without_clock_changes
from reformer.data.readers._series_columns import MISSING, date_columns_of, is_number, member_column, value_columns
from reformer.data.readers._source import Source
from reformer.data.readers._table import column_index, table_rows
from reformer.data.series import MOST_STEPS_TO_A_ROW, Series, joined_series

_ISO = "write dates as 2024-12-31 or 2024-12-31 23:00:00, or name their form by data.date_format"
_SORT = "sort the rows by date, one for each step"


@dataclass(frozen=True)
class SeriesOptions:
    """How a table of series is to be read; None where the table tells.

    Args:
        date_columns: one column of dates, or several with year, month, day, hour, minute.
        columns: what to read.
        series_column: of a table in long form, the column that names the series of a row.
        date_format: one of `NAMED_FORMATS`, or a pattern of `strptime`.
        date_order: the order of day and month where no row tells it.
        dst: what to make of an hour that is there twice since the clocks went back: the first of its rows counts; or
            the steps are counted by the time that has passed, and further dates follow the clock of the last row
            ("shift") or of the first ("utc").
        gaps: what to make of steps without a number: nothing, the number before, or an error.
        cadence: the steps that are expected.
    """

    date_columns: Sequence[str] | None = None
    columns: Sequence[str] | None = None
    series_column: str | None = None
    date_format: str | None = None
    date_order: str | None = None
    dst: Literal["first", "shift", "utc"] | None = None
    gaps: Literal["missing", "fill", "refuse"] = "missing"
    cadence: Cadence | None = None


@dataclass(frozen=True)
class _Rows:
    """Rows of one series that have a date."""

    lines: list[int]
    dates: Dates
    values: NDArray[np.float64]

    def __getitem__(self, chosen: NDArray[np.bool_]) -> "_Rows":
        lines = [line for line, kept in zip(self.lines, chosen, strict=True) if kept]
        return _Rows(lines, self.dates[chosen], self.values[chosen])


def read_series(
    path: str | Path,
    *,
    date_columns: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    options: SeriesOptions | None = None,
    on_error: OnError = raise_error,
) -> Series:
    """The series of a CSV or TSV file (`.gz` too), whose first line names the columns.

    Steps for which there is no row are missing, as are cells that are empty, `NA`, `nan`, `null`, `None`, `-` or `?`.
    Of a table in long form, each series is a channel.

    Args:
        date_columns: one column of dates, or several with year, month, day, hour, minute. None: the first column of
            dates, in any form that the cells tell.
        columns: what to read. None: every other column that begins with a number and does not count the rows.
        options: what else there is to say, these two included.
        on_error: called with the error of a row that cannot be used, which names its line; the row is left out.

    Raises:
        DataError: file, line and remedy for whatever is wrong; with `on_error`, for the file as a whole alone.
    """
    options = options or SeriesOptions(date_columns=date_columns, columns=columns)
    return joined_series(str(path), read_panel(path, options, on_error))


def read_panel(path: str | Path, options: SeriesOptions, on_error: OnError = raise_error) -> list[Series]:
    """The series of a file one by one: several where it is in long form, each with its own first and last date.

    Raises:
        DataError: as `read_series`.
    """
    name = str(path)
    with Source(name) as source:
        rows = list(table_rows(source, "\t" if ".tsv" in Path(name).suffixes else ",", on_error))
        if len(rows) < 3:
            raise DataError(name, None, "there are no two rows below the first line", "give a series of some length")
        (_, header), rows = rows[0], rows[1:]
        indices, form = _date_columns(source, header, rows, options)
        parsed = _parsed_dates(name, form, indices, rows, on_error)
        rows = [row for row, date in zip(rows, parsed, strict=True) if date is not None]
        found = [date for date in parsed if date is not None]
        if len(found) < 2:
            raise DataError(name, None, "there are no two rows with a date", _ISO)
        if options.series_column is not None:
            member = column_index(source, header, options.series_column)
        else:
            member = member_column(header, rows, [date.clock for date in found], indices)
        chosen, notes = value_columns(source, header, rows, {*indices, member}, options.columns)
    if member is not None and options.series_column is None:
        notes.append(f"the rows belong to several series, which the column {header[member]!r} names")
    values = [[_number(name, line, header[i], cells[i], on_error) for i in chosen] for line, cells in rows]
    clocks, form = _clocks(found, form)
    members = ["" if member is None else cells[member] for _, cells in rows]
    groups = _grouped(members, [line for line, _ in rows], clocks, np.array(values, dtype=np.float64))
    series = _laid_out(name, [header[i] for i in chosen], groups, form, options, on_error, is_panel=member is not None)
    column = None if member is None else header[member]
    return [replace(each, member_column=column, notes=(*notes, *each.notes)) for each in series]


def _date_columns(
    source: Source, header: list[str], rows: list[tuple[int, list[str]]], options: SeriesOptions
) -> tuple[list[int], DateForm | None]:
    """The columns of dates, and the form of a single one."""
    named = options.date_columns
    if named is not None and len(named) > 1:
        return [column_index(source, header, column) for column in named], None
    candidates = range(len(header)) if named is None else [column_index(source, header, named[0])]
    try:
        found = date_columns_of(header, rows, candidates, options.date_format, options.date_order)
    except AmbiguousDatesError as error:
        raise DataError(source.path, None, str(error), "say which by data.date_format") from None
    if found is None:
        raise DataError(
            source.path,
            None,
            f"none of the columns {', '.join(repr(header[index]) for index in candidates)} begins with a date",
            f"{_ISO}, or name it",
        )
    return [found[0]], found[1]


def _parsed_dates(
    name: str,
    form: DateForm | None,
    indices: list[int],
    rows: list[tuple[int, list[str]]],
    on_error: OnError,
) -> list[ParsedDate | None]:
    parsed: list[ParsedDate | None] = []
    for line, cells in rows:
        try:
            if form is not None:
                parsed.append(form.read(cells[indices[0]]))
            else:
                numbers = [int(cells[index]) for index in indices]
                parsed.append(ParsedDate(datetime(*numbers, *[1] * (3 - len(numbers)))))  # pyright: ignore
        except (ValueError, OverflowError) as error:
            on_error(DataError(name, line, f"no date ({error})", _ISO))
            parsed.append(None)
    return parsed


def _clocks(found: list[ParsedDate], form: DateForm | None) -> tuple[Dates, DateForm | None]:
    """The dates by which steps are counted: by local clocks where they are days or more apart, else in UTC."""
    clocks = np.array([date.clock for date in found], dtype="datetime64[s]")
    if form is None or all(date.offset is None for date in found):
        return clocks, form
    cadence = Cadence.of(clocks)
    if cadence.unit != "s" or cadence.step % DAY == 0:
        return clocks, form
    offsets = [int((date.offset or timedelta(0)).total_seconds()) for date in found]
    shift = form.read(form.sample).offset or timedelta(0)
    return clocks - np.array(offsets, dtype="timedelta64[s]"), replace(form, shift=shift)


def _number(name: str, line: int, column: str, cell: str, on_error: OnError) -> float:
    if cell.strip().lower() in MISSING:
        return math.nan
    if is_number(cell):
        return float(cell)
    on_error(
        DataError(name, line, f"{cell!r} in the column {column!r} is no number", "correct it, or leave the cell empty")
    )
    return math.nan


def _grouped(
    members: Sequence[str], lines: Sequence[int], dates: Dates, values: NDArray[np.float64]
) -> dict[str, _Rows]:
    """The rows of each series, in the order in which the series begin."""
    chosen: dict[str, list[int]] = {}
    for index, member in enumerate(members):
        chosen.setdefault(member, []).append(index)
    return {
        member: _Rows([lines[index] for index in indices], dates[indices], values[indices])
        for member, indices in chosen.items()
    }


def _without_clock_changes(
    name: str, groups: Mapping[str, _Rows], form: DateForm | None, options: SeriesOptions
) -> tuple[dict[str, _Rows], DateForm | None, list[str]]:
    """The rows, the form of further dates, and what is said of rows that are left out."""
    moved = {
        member: without_clock_changes(name, rows.lines, rows.dates, options.dst) for member, rows in groups.items()
    }
    if form is not None and options.dst == "shift":
        form = replace(form, shift=form.shift + max((change.shift for change in moved.values()), key=abs))
    dropped = sum(int((~change.kept).sum()) for change in moved.values())
    notes = [f"rows of hours that are there twice, left out as data.dst says: {dropped:,}"] if dropped else []
    changed = {member: replace(rows, dates=moved[member].dates) for member, rows in groups.items()}
    return {member: rows[moved[member].kept] for member, rows in changed.items()}, form, notes


def _laid_out(
    name: str,
    columns: list[str],
    groups: Mapping[str, _Rows],
    form: DateForm | None,
    options: SeriesOptions,
    on_error: OnError,
    *,
    is_panel: bool,
) -> list[Series]:
    """Every group of rows on the steps of the longest one."""
    groups, form, notes = _without_clock_changes(name, groups, form, options)
    cadence = Cadence.of(max(groups.values(), key=lambda rows: len(rows.dates)).dates, options.cadence)
    series, gaps = [], []
    for member, rows in groups.items():
        laid = _on_grid(name, rows, cadence, on_error)
        gap = _gap(name, laid, cadence)
        if gap is not None and options.gaps == "refuse":
            raise gap
        if gap is not None and options.gaps == "missing" and laid.missing:
            gaps.append(f"line {gap.line}: {gap.problem}; they are missing values ({gap.remedy})")
        values = _filled(laid.values) if options.gaps == "fill" else laid.values
        empty = [column for column, found in zip(columns, values.T, strict=True) if np.isnan(found).all()]
        if empty and not is_panel:
            raise DataError(
                name, None, f"there is no number in {', '.join(map(repr, empty))}", "name the columns to read"
            )
        whose = member if is_panel else None
        series.append(
            Series(
                Path(name).name,
                tuple(columns),
                laid.dates,
                values,
                cadence.step,
                cadence.unit,
                cadence.anchor,
                form,
                whose,
            )
        )
    return [replace(each, notes=(*notes, *gaps[:1])) for each in series]


@dataclass(frozen=True)
class _Grid:
    """Values on equal steps."""

    lines: list[int]
    positions: list[int]
    dates: Dates
    values: NDArray[np.float64]

    @property
    def missing(self) -> int:
        """The number of steps without a row."""
        return len(self.dates) - len(self.positions)


def _on_grid(name: str, rows: _Rows, cadence: Cadence, on_error: OnError) -> _Grid:
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
        raise DataError(name, None, f"{len(kept):,} rows for {steps:,} steps from {first} to {last}", "check the dates")
    values = np.full((steps, rows.values.shape[1]), np.nan)
    values[positions] = rows.values[kept]
    dates = cadence.dates(rows.dates[begin], steps)
    return _Grid([rows.lines[index] for index in kept], positions, dates, values)


def _fits(cadence: Cadence, dates: Dates, at: int) -> bool:
    """Whether a date lies on a step, which of seconds every one does."""
    return cadence.unit == "s" or bool(cadence.positions(dates[at : at + 1])[0] == 0)


def _gap(name: str, grid: _Grid, cadence: Cadence) -> DataError | None:
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
        told = f"there is no row for {steps:,} steps of {cadence} after {grid.dates[grid.positions[row]]}"
        row += 1
    else:
        return None
    told = f"{told}; in all, {grid.missing:,} of {len(grid.dates):,} steps have no row"
    return DataError(name, grid.lines[row], told, remedy)


def _filled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each missing value as the one before; those before the first stay missing."""
    steps = np.where(np.isfinite(values), np.arange(len(values))[:, None], 0)
    return np.take_along_axis(values, np.maximum.accumulate(steps, axis=0), axis=0)
