"""Reader of time series in tables."""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from reformer.data.errors import DataError, OnError, raise_error
from reformer.data.readers._source import Source
from reformer.data.readers._table import column_index, table_rows
from reformer.data.series import Dates, Series, date_grid

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "?"})
"""Cells, in lower case, that say that nothing was observed."""

# So many steps without a row, to each with one, are no gap any more: the dates are wrong.
MOST_STEPS_TO_A_ROW = 100
SHORTEST_MONTH = 28 * 86400
_ISO = "write dates as 2024-12-31 or 2024-12-31 23:00:00"
_SORT = "sort the rows by date, one for each step"


def read_series(
    path: str | Path,
    *,
    date_columns: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    on_error: OnError = raise_error,
) -> Series:
    """The series of a CSV or TSV file (`.gz` too), whose first line names the columns.

    Steps for which there is no row are missing, as are cells that are empty, `NA`, `nan`, `null`, `None`, `-` or `?`.

    Args:
        date_columns: one column of dates in ISO form, or several with year, month, day, hour, minute. None: the first
            column whose first cell is such a date.
        columns: what to read. None: every other column that begins with a number.
        on_error: called with the error of a row that cannot be used, which names its line; the row is left out.

    Raises:
        DataError: file, line and remedy for whatever is wrong; with `on_error`, for the file as a whole alone.
    """
    name = str(path)
    with Source(name) as source:
        rows = list(table_rows(source, "\t" if ".tsv" in Path(name).suffixes else ",", on_error))
        if len(rows) < 3:
            raise DataError(name, None, "there are no two rows below the first line", "give a series of some length")
        (_, header), rows = rows[0], rows[1:]
        date_indices = _date_indices(source, header, rows, date_columns)
        chosen = _value_indices(source, header, rows, date_indices, columns)
    dates, lines, values = [], [], []
    for line, cells in rows:
        try:
            dates.append(_date([cells[index] for index in date_indices]))
        except ValueError as error:
            on_error(DataError(name, line, f"no date ({error})", _ISO))
            continue
        lines.append(line)
        values.append([_number(name, line, header[index], cells[index], on_error) for index in chosen])
    return _on_grid(name, [header[i] for i in chosen], dates, lines, values, on_error)


def _date_indices(
    source: Source, header: list[str], rows: list[tuple[int, list[str]]], columns: Sequence[str] | None
) -> list[int]:
    if columns is not None:
        return [column_index(source, header, column) for column in columns]
    for index in range(len(header)):
        try:
            _date([rows[0][1][index]])
        except (ValueError, IndexError):
            continue
        return [index]
    raise DataError(
        source.path,
        None,
        f"none of the columns {', '.join(map(repr, header))} begins with a date",
        f"{_ISO}, or name it",
    )


def _value_indices(
    source: Source,
    header: list[str],
    rows: list[tuple[int, list[str]]],
    dates: list[int],
    columns: Sequence[str] | None,
) -> list[int]:
    if columns is not None:
        return [column_index(source, header, column) for column in columns]
    indices = []
    for index in range(len(header)):
        first = next((cells[index] for _, cells in rows if cells[index].strip().lower() not in MISSING), "")
        if index not in dates and _is_number(first):
            indices.append(index)
    if not indices:
        raise DataError(
            source.path, None, "no column but the date's begins with a number", "give at least one of numbers"
        )
    return indices


def _date(cells: list[str]) -> np.datetime64:
    if len(cells) > 1:
        numbers = [int(cell) for cell in cells]
        date = datetime(*numbers, *[1] * (3 - len(numbers)))  # pyright: ignore[reportArgumentType]
    else:
        cell = cells[0].strip()
        if len(cell) < len("2024-01-01"):
            raise ValueError(repr(cell))
        date = datetime.fromisoformat(cell.replace("/", "-"))
    if date.tzinfo is not None:
        date = date.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(date, "s")


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _number(name: str, line: int, column: str, cell: str, on_error: OnError) -> float:
    if cell.strip().lower() in MISSING:
        return math.nan
    if _is_number(cell):
        return float(cell)
    on_error(
        DataError(name, line, f"{cell!r} in the column {column!r} is no number", "correct it, or leave the cell empty")
    )
    return math.nan


def _on_grid(
    name: str,
    columns: list[str],
    dates: list[np.datetime64],
    lines: list[int],
    values: list[list[float]],
    on_error: OnError,
) -> Series:
    """Rows to equal steps; a row that fits in nowhere is reported."""
    if len(dates) < 2:
        raise DataError(name, None, "there are no two rows with a date", _ISO)
    found = np.array(dates)
    step, unit = _step(found)
    grid, rows = [found[0]], [0]
    for index in range(1, len(found)):
        after = _steps(found[0], found[index], step, unit)
        if after is None:
            told = f"{found[index]} is no whole number of steps of {step} {unit} after {found[0]}"
            on_error(DataError(name, lines[index], told, "give rows that are equally far apart"))
        elif after <= rows[-1]:
            told = "the same date as an earlier row's" if after in rows[-2:] else "earlier than the row before"
            on_error(DataError(name, lines[index], f"{found[index]} is {told}", _SORT))
        else:
            rows.append(after)
            grid.append(found[index])
            continue
        values[index] = []
    if rows[-1] >= MOST_STEPS_TO_A_ROW * len(rows):
        raise DataError(
            name, None, f"{len(rows):,} rows for {rows[-1] + 1:,} steps from {grid[0]} to {grid[-1]}", "check the dates"
        )
    filled = np.full((rows[-1] + 1, len(columns)), np.nan)
    filled[rows] = [row for row in values if row]
    empty = [column for column, found in zip(columns, filled.T, strict=True) if np.isnan(found).all()]
    if empty:
        raise DataError(name, None, f"there is no number in {', '.join(map(repr, empty))}", "name the columns to read")
    return Series(Path(name).name, tuple(columns), date_grid(grid[0], step, unit, rows[-1] + 1), filled, step, unit)


def _step(dates: Dates) -> tuple[int, Literal["s", "M"]]:
    """The commonest distance of two rows, or the smallest of those: in seconds, or in months where it is some."""
    seconds = np.diff(dates).astype(np.int64)
    counted = Counter(seconds[seconds > 0].tolist())
    if not counted:
        return 1, "s"
    step = max(counted, key=lambda each: (counted[each], -each))
    days = dates.astype("datetime64[D]") - dates.astype("datetime64[M]").astype("datetime64[D]")
    if step >= SHORTEST_MONTH and (days == days[0]).all():
        months = np.diff(dates.astype("datetime64[M]")).astype(np.int64)
        return int(Counter(months[months > 0].tolist()).most_common(1)[0][0]), "M"
    return int(step), "s"


def _steps(first: np.datetime64, date: np.datetime64, step: int, unit: str) -> int | None:
    """How many steps lie between two dates; None if that is no whole number."""
    between = date - first if unit == "s" else date.astype("datetime64[M]") - first.astype("datetime64[M]")
    count, rest = divmod(int(between.astype(np.int64)), step)
    return None if rest else count
