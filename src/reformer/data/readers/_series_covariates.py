"""Covariates of a table of series: columns that are known ahead, and columns that are one value a series."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reformer.data.errors import DataError, OnError
from reformer.data.readers._series_columns import MISSING, Rows, is_number
from reformer.data.readers._series_options import SeriesOptions
from reformer.data.readers._source import Source
from reformer.data.series import Covariates

MOST_NAMES = 8
"""Categories that a message names."""


@dataclass(frozen=True)
class CovariateCells:
    """The columns of covariates in a table, and the numbers of their cells.

    Args:
        values: `[rows, columns]`, those known ahead before those of a series; a category by its number, from 1 on, or 0
            where the cell is empty; NaN where nothing is known.
    """

    known: list[int]
    static: list[int]
    categories: Mapping[str, tuple[str, ...]]
    values: NDArray[np.float64]

    def covariates(
        self, header: Sequence[str], known: NDArray[np.float64], static: NDArray[np.float64], channels: int
    ) -> Covariates | None:
        """The covariates of one series, each of whose channels has the same; None where the table has none."""
        if not self.known and not self.static:
            return None
        return Covariates(
            tuple(header[index] for index in self.known),
            np.repeat(known[:, None], channels, 1),
            tuple(header[index] for index in self.static),
            np.repeat(static[None], channels, 0),
            self.categories,
        )


def covariate_indices(source: Source, header: Sequence[str], options: SeriesOptions) -> tuple[list[int], list[int]]:
    """The places of the columns known ahead, and of those of a series.

    Raises:
        DataError: one of them is not there, or there twice.
    """
    found: list[list[int]] = []
    for kind, field, names in (
        ("known ahead", "data.known_columns", options.known_columns),
        ("static", "data.static_columns", options.static_columns),
    ):
        for name in names:
            if list(header).count(name) == 1:
                continue
            how = "there is no column" if name not in header else "there is more than one column"
            # With steps that are expected, a model expects the column, too.
            of = "a covariate that the model has learned" if options.cadence is not None else field
            raise DataError(
                source.path,
                1,
                f"{how} {name!r}, {kind} ({of}); the columns are {', '.join(map(repr, header))}",
                "give the column a value in every row" + ("" if options.cadence else f", or name others in {field}"),
            )
        found.append([list(header).index(name) for name in names])
    return found[0], found[1]


def read_covariates(
    source: Source,
    header: Sequence[str],
    rows: Rows,
    indices: tuple[list[int], list[int]],
    options: SeriesOptions,
    on_error: OnError,
) -> CovariateCells:
    """The cells of these columns as numbers."""
    categories: dict[str, tuple[str, ...]] = {}
    values = np.full((len(rows), sum(map(len, indices))), np.nan)
    for place, index in enumerate((*indices[0], *indices[1])):
        name, cells = header[index], [cells[index].strip() for _, cells in rows]
        known = [cell for cell in cells if cell.lower() not in MISSING]
        if options.categories is not None:
            names = options.categories.get(name)
        else:
            texts = bool(known) and not any(map(is_number, known))
            names = sorted(set(known)) if texts or name in options.categorical_columns else None
        if names is not None:
            categories[name] = tuple(names)
        for number, (line, _) in enumerate(rows):
            try:
                values[number, place] = _value(source, line, name, cells[number], names)
            except DataError as error:
                on_error(error)
    return CovariateCells(*indices, categories, values)


def _value(source: Source, line: int, name: str, cell: str, names: Sequence[str] | None) -> float:
    if cell.lower() in MISSING:
        return math.nan if names is None else 0
    if names is not None:
        if cell not in names:
            more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
            raise source.error(
                f"{cell!r} in the column {name!r} is a category that the model has not learned; it knows "
                f"{', '.join(map(repr, names[:MOST_NAMES]))}{more}",
                "write one of those or leave the cell empty, or train again with rows that have it",
                line,
            )
        return list(names).index(cell) + 1
    if is_number(cell):
        return float(cell)
    raise source.error(
        f"{cell!r} in the column {name!r} is no number",
        "correct it or leave the cell empty; if the numbers are categories, name the column in "
        "data.categorical_columns",
        line,
    )


def static_values(
    name: str, header: Sequence[str], cells: CovariateCells, lines: Sequence[int], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`[columns]`: what each static column of one series is in all of its rows.

    Raises:
        DataError: it is not the same in all rows.
    """
    found = np.full(len(cells.static), np.nan)
    for place, column in enumerate(values.T):
        known = np.flatnonzero(np.isfinite(column))
        if not len(known):
            continue
        found[place] = column[known[0]]
        other = known[column[known] != found[place]]
        if len(other):
            first, second = lines[known[0]], lines[other[0]]
            raise DataError(
                name,
                second,
                f"the static column {header[cells.static[place]]!r} has another value than in line {first} of the same "
                "series",
                "give all rows of a series the same, or name the column in data.known_columns",
            )
    return found
