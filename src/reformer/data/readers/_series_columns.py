"""The parts that the columns of a table of series have: dates, names of series, values."""

import math
from collections.abc import Iterable, Sequence, Set
from datetime import datetime

import numpy as np

from reformer.data.date_forms import LOOKED_AT, DateForm, find_form
from reformer.data.errors import DataError
from reformer.data.readers._series_options import SeriesOptions
from reformer.data.readers._source import Source
from reformer.data.readers._table import column_index

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "?"})
"""Cells, in lower case, that say that nothing was observed."""

DATE_NAMES = frozenset(
    {"ds", "ts", "t", "date", "dates", "datetime", "timestamp", "time", "when", "day", "month", "year", "period"}
    | {"datum", "zeit", "tag", "monat", "jahr", "fecha", "日期", "时间", "年", "年份", "月份"}
)
"""Names, in lower case, of columns whose numbers may be dates although they are not equally far apart."""
MEMBER_NAMES = frozenset({"unique_id", "item_id", "series_id"})
MAYBE_MEMBER_NAMES = frozenset({"series", "id"})
COUNTER_NAMES = frozenset({"", "index", "idx", "id", "row", "level_0", "no", "no.", "nr", "nr.", "#"})

# Of the rows of a panel that names its series by any column of texts, at least and at most so many.
LEAST_REPEATED, MOST_FALLING = 0.2, 0.05

Rows = Sequence[tuple[int, list[str]]]


def date_columns_of(
    header: Sequence[str], rows: Rows, candidates: Iterable[int], date_format: str | None, order: str | None
) -> tuple[int, DateForm] | None:
    """The first column of dates and their form: one that no number has, before one that numbers may have by chance.

    Raises:
        AmbiguousDatesError: nothing tells whether the day or the month is first.
    """
    numeric: list[tuple[int, list[str]]] = []
    candidates = list(candidates)
    for index in candidates:
        cells = [row[index] for _, row in rows if row[index].strip()]
        if not cells or (date_format is None and all(is_number(cell) for cell in cells[:LOOKED_AT])):
            numeric.append((index, cells))
            continue
        form = find_form(cells, date_format, order)
        if form is not None:
            return index, form
    for index, cells in numeric:
        form = find_form(cells, date_format, order)
        named = len(candidates) == 1 or header[index].strip().lower() in DATE_NAMES
        if form is not None and (named or form.is_regular(cells)):
            return index, form
    return None


def member_column(header: Sequence[str], rows: Rows, dates: Sequence[datetime], used: Sequence[int]) -> int | None:
    """The column that names the series of each row, within each of which the dates rise.

    It has one of `MEMBER_NAMES` or, where dates come again, `MAYBE_MEMBER_NAMES`, or is one of texts.
    """
    moments = np.array(dates, dtype="datetime64[s]").astype(np.int64)
    falls = int((np.diff(moments) <= 0).sum())
    names = [name.strip().lower() for name in header]
    certain = [index for index, name in enumerate(names) if name in MEMBER_NAMES]
    maybe = [index for index, name in enumerate(names) if name in MAYBE_MEMBER_NAMES]
    texts = [index for index in range(len(header)) if not any(is_number(cells[index]) for _, cells in rows)]
    # A date that comes twice by mistake makes no panel of a series with a column of remarks.
    repeated = 1 - len(np.unique(moments)) / len(moments)
    for index in dict.fromkeys([*certain, *maybe, *(texts if repeated >= LEAST_REPEATED else ())]):
        groups: dict[str, list[int]] = {}
        for moment, (_, cells) in zip(moments.tolist(), rows, strict=True):
            groups.setdefault(cells[index], []).append(moment)
        within = sum(int((np.diff(group) <= 0).sum()) for group in groups.values())
        told = index in certain or within < falls
        few = 1 < len(groups) <= len(rows) / 2 and within <= MOST_FALLING * len(rows)
        if index not in used and told and few:
            return index
    return None


def value_columns(
    source: Source, header: list[str], rows: Rows, used: Set[int | None], options: SeriesOptions
) -> tuple[list[int], list[str]]:
    """The columns to read, and what is said of those that are not.

    Raises:
        DataError: there is none.
    """
    if options.columns is not None:
        return [column_index(source, header, column) for column in options.columns], []
    indices, notes = [], []
    for index in range(len(header)):
        first = next((cells[index] for _, cells in rows if cells[index].strip().lower() not in MISSING), "")
        if index in used or not is_number(first):
            continue
        # Without a header, a column has no name that could tell.
        if is_counter(header[index] if options.header else "", [cells[index] for _, cells in rows]):
            called = (
                f"the column {header[index]!r}" if header[index].strip() else f"column {index + 1}, without a name,"
            )
            notes.append(f"{called} counts the rows: it is no series and is left out, unless data.columns names it")
            continue
        indices.append(index)
    if not indices:
        problem = "; ".join(["no column but the date's begins with a number", *notes])
        raise DataError(source.path, None, problem, "give at least one of numbers")
    return indices, notes


def is_number(cell: str) -> bool:
    """Whether a cell is a finite number."""
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def is_counter(name: str, cells: Sequence[str]) -> bool:
    """Whether a column's whole numbers rise from row to row, and its name is none or that of a counter."""
    name = name.strip().lower()
    unnamed = not name or name.startswith("unnamed:")
    if not unnamed and name not in COUNTER_NAMES:
        return False
    numbers = [cell.strip().removesuffix(".0") for cell in cells]
    if not all(number.isascii() and number.isdecimal() for number in numbers):
        return False
    rises = np.diff(np.array([int(number) for number in numbers], dtype=object))
    return bool((rises > 0).all() if unnamed else (rises == 1).all())
