"""Reader of time series in tables: one series, or several in long form."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reformer.data.cadence import DAY, Cadence, Dates
from reformer.data.date_forms import AmbiguousDatesError, DateForm, ParsedDate
from reformer.data.errors import DataError, OnError, raise_error
from reformer.data.readers._clock_changes import without_clock_changes
from reformer.data.readers._decimal_commas import with_decimal_points
from reformer.data.readers._series_columns import MISSING, date_columns_of, is_number, member_column, value_columns
from reformer.data.readers._series_covariates import (
    CovariateCells,
    covariate_indices,
    read_covariates,
    static_values,
)
from reformer.data.readers._series_grid import Grid, Rows, filled, first_gap, on_grid
from reformer.data.readers._series_options import SeriesOptions
from reformer.data.readers._source import Source
from reformer.data.readers._table import column_index, table_rows
from reformer.data.readers._table_form import table_form
from reformer.data.series import Covariates, Series, joined_series

_ISO = "write dates as 2024-12-31 or 2024-12-31 23:00:00, or name their form by data.date_format"


def read_series(
    path: str | Path,
    *,
    date_columns: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    options: SeriesOptions | None = None,
    on_error: OnError = raise_error,
) -> Series:
    """The series of a CSV or TSV file (`.gz` too).

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

    The separator, quotes and line ends are told as those of all tables are, by `table_form`.

    Raises:
        DataError: as `read_series`.
    """
    name = str(path)
    table = _table(name, options, on_error)
    header, rows = table.header, table.rows
    with Source(name, options.encoding) as source:
        indices, form = _date_columns(source, header, rows, options)
        covariates = covariate_indices(source, header, options)
        parsed = _parsed_dates(name, form, indices, rows, on_error)
        rows = [row for row, date in zip(rows, parsed, strict=True) if date is not None]
        found = [date for date in parsed if date is not None]
        if len(found) < table.fewest:
            raise DataError(name, None, "there are no two rows with a date", _ISO)
        used = {*indices, *covariates[0], *covariates[1]}
        if options.series_column is not None:
            member = column_index(source, header, options.series_column)
        else:
            member = member_column(header, rows, [date.clock for date in found], list(used))
        if options.static_columns and member is None:
            raise DataError(
                name,
                None,
                f"data.static_columns names {', '.join(map(repr, options.static_columns))}, and no column tells "
                "several series apart",
                "leave it out, or name the column of the series' names in data.series_column",
            )
        chosen, notes = value_columns(source, header, rows, {*used, member}, options)
        cells = read_covariates(source, header, rows, covariates, options, on_error)
    notes = [*table.notes, *notes]
    if member is not None and options.series_column is None:
        notes.append(f"the rows belong to several series, which the column {header[member]!r} names")
    numbers = [[_number(name, line, header[i], cell[i], on_error) for i in chosen] for line, cell in rows]
    values = np.concatenate((np.array(numbers, dtype=np.float64).reshape(len(rows), len(chosen)), cells.values), 1)
    clocks, form = _clocks(found, form)
    members = ["" if member is None else cells[member] for _, cells in rows]
    groups = _grouped(members, [line for line, _ in rows], clocks, values)
    layout = _Layout(name, header, chosen, cells, options, is_panel=member is not None)
    series = layout.laid_out(groups, form, on_error)
    column = None if member is None else header[member]
    return [replace(each, member_column=column, notes=(*notes, *each.notes)) for each in series]


@dataclass(frozen=True)
class _Table:
    """The names of the columns of a table, and its rows."""

    header: list[str]
    rows: list[tuple[int, list[str]]]
    fewest: int
    """The fewest rows that make a series: one where the steps are known and nothing but covariates is wanted."""
    notes: list[str]
    """What was decided in reading its cells."""


def _table(name: str, options: SeriesOptions, on_error: OnError) -> _Table:
    """Raises `DataError` where there are too few rows."""

    def open_source() -> Source:
        return Source(name, options.encoding)

    kind = "tsv" if ".tsv" in [suffix.lower() for suffix in Path(name).suffixes] else "csv"
    wanted = [*(options.date_columns or ()), *(options.columns or ()), *options.known_columns, *options.static_columns]
    if options.series_column is not None:
        wanted.append(options.series_column)
    form = table_form(open_source, kind, wanted, header=options.header)
    with open_source() as source:
        rows = list(table_rows(source, form, on_error, header=options.header))
    header = [] if not rows else rows[0][1]
    if options.header:
        rows = rows[1:]
    else:
        header = [str(number) for number in range(1, len(header) + 1)]
    fewest = 1 if options.columns == () else 2
    if len(rows) < fewest:
        where = "below the first line" if options.header else "in it"
        raise DataError(name, None, f"there are no two rows {where}", "give a series of some length")
    rows, notes = with_decimal_points(name, header, rows, form.separator, options.decimal, on_error)
    return _Table(header, list(rows), fewest, notes)


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
) -> dict[str, Rows]:
    """The rows of each series, in the order in which the series begin."""
    chosen: dict[str, list[int]] = {}
    for index, member in enumerate(members):
        chosen.setdefault(member, []).append(index)
    return {
        member: Rows([lines[index] for index in indices], dates[indices], values[indices])
        for member, indices in chosen.items()
    }


def _without_clock_changes(
    name: str, groups: Mapping[str, Rows], form: DateForm | None, options: SeriesOptions
) -> tuple[dict[str, Rows], DateForm | None, list[str]]:
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


@dataclass(frozen=True)
class _Layout:
    """What the columns of a table are, for each series of it to be laid on its steps."""

    name: str
    header: list[str]
    chosen: list[int]
    """The columns of values."""
    cells: CovariateCells
    options: SeriesOptions
    is_panel: bool

    def laid_out(self, groups: Mapping[str, Rows], form: DateForm | None, on_error: OnError) -> list[Series]:
        """Every group of rows on the steps of the longest one."""
        name, options = self.name, self.options
        groups, form, notes = _without_clock_changes(name, groups, form, options)
        cadence = options.cadence
        if cadence is None or options.columns != ():
            cadence = Cadence.of(max(groups.values(), key=lambda rows: len(rows.dates)).dates, cadence)
        series, gaps = [], []
        for member, rows in groups.items():
            laid = on_grid(name, rows, cadence, on_error)
            values, dates = self._observed(laid)
            gap = first_gap(name, self._values_alone(laid, len(dates)), cadence)
            if gap is not None and options.gaps == "refuse":
                raise gap
            if gap is not None and options.gaps == "missing" and len(dates) > len(laid.positions):
                gaps.append(f"line {gap.line}: {gap.problem}; they are missing values ({gap.remedy})")
            values = filled(values) if options.gaps == "fill" else values
            self._check_numbers(values)
            series.append(
                Series(
                    Path(name).name,
                    tuple(self.header[index] for index in self.chosen),
                    dates,
                    values,
                    cadence.step,
                    cadence.unit,
                    cadence.anchor,
                    form,
                    member if self.is_panel else None,
                    covariates=self._covariates(laid, rows),
                )
            )
        return [replace(each, notes=(*notes, *gaps[:1])) for each in series]

    def _observed(self, laid: Grid) -> tuple[NDArray[np.float64], Dates]:
        """The values and their dates: where something is known ahead, up to the last row that has a value."""
        values = laid.values[:, : len(self.chosen)]
        end = len(values)
        if self.cells.known and self.chosen:
            seen = np.flatnonzero(np.isfinite(values).any(1))
            end = int(seen[-1]) + 1 if len(seen) else end
        return values[:end], laid.dates[:end]

    def _values_alone(self, laid: Grid, end: int) -> Grid:
        count = sum(position < end for position in laid.positions)
        values = laid.values[:end, : len(self.chosen)]
        return Grid(laid.lines[:count], laid.positions[:count], laid.dates[:end], values)

    def _covariates(self, laid: Grid, rows: Rows) -> Covariates | None:
        first, last = len(self.chosen), len(self.chosen) + len(self.cells.known)
        static = static_values(self.name, self.header, self.cells, rows.lines, rows.values[:, last:])
        return self.cells.covariates(self.header, laid.values[:, first:last], static, len(self.chosen) or 1)

    def _check_numbers(self, values: NDArray[np.float64]) -> None:
        empty = [self.header[i] for i, found in zip(self.chosen, values.T, strict=True) if np.isnan(found).all()]
        if empty and not self.is_panel:
            told = f"there is no number in {', '.join(map(repr, empty))}"
            raise DataError(self.name, None, told, "name the columns to read")
