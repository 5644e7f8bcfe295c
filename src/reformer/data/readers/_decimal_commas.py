"""Decimal commas: cells such as 1.234,5 as numbers with a decimal point."""

import re
from typing import Literal

from reformer.data.errors import DataError, OnError
from reformer.data.readers._series_columns import MISSING, Rows

Decimal = Literal[".", ","]
_NUMBER = re.compile(r"\s*[+-]?(\d{1,3}(\.\d{3})+|\d+)?(,\d+)?([eE][+-]?\d+)?\s*")
_POINT = re.compile(r"\s*[+-]?\d*\.\d+([eE][+-]?\d+)?\s*")
MOST_NAMES = 8


def with_decimal_points(
    name: str, header: list[str], rows: Rows, separator: str, decimal: Decimal | None, on_error: OnError
) -> tuple[Rows, list[str]]:
    """The rows with the numbers of columns that have decimal commas written with points, and what is to say of it.

    A column has decimal commas where its first cell with a comma is read so; points before three digits are then those
    of thousands, and a cell with any other point is an error, as it would be another number. In a table whose cells
    are separated by commas there is none, unless `decimal` says so: there a cell in quotes, such as "1,234", may well
    be of thousands.

    Args:
        decimal: what the file's owner says of all columns; None: the cells tell.
    """
    if decimal == "." or (decimal is None and separator == ","):
        return rows, []
    chosen = [column for column in range(len(header)) if _has_commas([cells[column] for _, cells in rows])]
    if not chosen:
        return rows, []
    converted = []
    for line, cells in rows:
        cells = list(cells)
        for column in chosen:
            if _POINT.fullmatch(cells[column]) and not _NUMBER.fullmatch(cells[column]):
                told = f"{cells[column]!r} in the column {header[column]!r} has a decimal point, and others a comma"
                on_error(DataError(name, line, told, "write all of its numbers alike, or name data.decimal"))
                cells[column] = ""
            elif _NUMBER.fullmatch(cells[column]):
                cells[column] = cells[column].replace(".", "").replace(",", ".")
        converted.append((line, cells))
    names = ", ".join(repr(header[column]) for column in chosen[:MOST_NAMES])
    more = f" and {len(chosen) - MOST_NAMES:,} more" if len(chosen) > MOST_NAMES else ""
    return converted, [f"the numbers of {names}{more} are read with decimal commas (data.decimal)"]


def _has_commas(cells: list[str]) -> bool:
    known = [cell for cell in cells if cell.strip().lower() not in MISSING]
    with_comma = [cell for cell in known if "," in cell]
    return bool(with_comma) and _NUMBER.fullmatch(with_comma[0]) is not None
