"""Options of reading a table of series."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from reformer.data.cadence import Cadence


@dataclass(frozen=True)
class SeriesOptions:
    """How a table of series is to be read; None where the table tells.

    Args:
        encoding: of the file; None: UTF-8.
        header: whether the first line names the columns, which are called 1, 2, ... otherwise.
        date_columns: one column of dates, or several with year, month, day, hour, minute.
        columns: what to read; none at all where the covariates alone are wanted.
        known_columns: covariates known ahead: numbers, or texts, which are categories. The series then ends with the
            last row that has a number to read, and the rows behind it tell the future of these columns alone.
        static_columns: covariates that are the same in all rows of a series.
        categorical_columns: those of both that are categories although they are written as numbers.
        categories: of each column of categories those that were learned, where a model has them.
        series_column: of a table in long form, the column that names the series of a row.
        date_format: one of `NAMED_FORMATS`, or a pattern of `strptime`.
        date_order: the order of day and month where no row tells it.
        dst: what to make of an hour that is there twice since the clocks went back: the first of its rows counts; or
            the steps are counted by the time that has passed, and further dates follow the clock of the last row
            ("shift") or of the first ("utc").
        decimal: what stands before the decimals of a number; None: the cells of a table that is not separated by commas
            tell, elsewhere it is a point.
        gaps: what to make of steps without a number: nothing, the number before, or an error.
        cadence: the steps that are expected.
    """

    encoding: str | None = None
    header: bool = True
    date_columns: Sequence[str] | None = None
    columns: Sequence[str] | None = None
    known_columns: Sequence[str] = ()
    static_columns: Sequence[str] = ()
    categorical_columns: Sequence[str] = ()
    categories: Mapping[str, Sequence[str]] | None = None
    series_column: str | None = None
    date_format: str | None = None
    date_order: str | None = None
    dst: Literal["first", "shift", "utc"] | None = None
    decimal: Literal[".", ","] | None = None
    gaps: Literal["missing", "fill", "refuse"] = "missing"
    cadence: Cadence | None = None
