"""Series from tables: steps without a row are missing, and what fits in nowhere is named by its line."""

import numpy as np
import pytest

from reformer.data import DataError, read_series

TABLE = "when,load,note,heat\n2024-01-01 00:00,1,a,NA\n2024-01-01 01:00,2,b,5\n2024-01-01 03:00,,c,6.5\n"


def _write(folder, text, name="a.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_a_gap_is_filled_with_missing_steps(tmp_path):
    series = read_series(_write(tmp_path, TABLE))
    assert series.columns == ("load", "heat")
    assert series.cadence == "3600 seconds"
    nan = np.nan
    assert np.array_equal(series.values, [[1, nan], [2, 5], [nan, nan], [nan, 6.5]], equal_nan=True)
    assert str(series.dates_after(2)[1]) == "2024-01-01T05:00:00"


def test_dates_may_stand_in_several_columns_and_columns_be_chosen(tmp_path):
    rows = "".join(f"2024,{month},{month},0\n" for month in range(1, 5))
    series = read_series(_write(tmp_path, f"y,m,v,w\n{rows}"), date_columns=["y", "m"], columns=["v"])
    assert (series.step, series.unit) == (1, "M")
    assert [str(date) for date in series.dates_after(2)] == ["2024-05-01T00:00:00", "2024-06-01T00:00:00"]
    assert series.values[:, 0].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("rows", "line", "message"),
    [
        ("2024-01-01,1\n2024-01-02,x\n2024-01-03,3\n", 3, "'x' in the column 'v' is no number"),
        ("2024-01-01,1\n2024-01-02,inf\n2024-01-03,3\n", 3, "'inf' in the column 'v' is no number"),
        ("2024-01-01,1\nsoon,2\n2024-01-02,3\n2024-01-03,3\n", 3, "no date"),
        ("2024-01-01,1\n2024-01-02\n2024-01-03,3\n2024-01-04,3\n", 3, "the row has 1 cells"),
        ("2024-01-01,1\n2024-01-02,1\n2024-01-02,9\n2024-01-03,3\n", 4, "the same date as an earlier row's"),
        ("2024-01-01,1\n2024-01-02,1\n2024-01-03,3\n2023-12-31,9\n", 5, "earlier than the row before"),
        ("2024-01-01,1\n2024-01-02,1\n2024-01-02T07:00,9\n2024-01-03,3\n2024-01-04,3\n", 4, "no whole number of steps"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_and_left_out(tmp_path, rows, line, message):
    path = _write(tmp_path, "d,v\n" + rows)
    with pytest.raises(DataError, match=f"a.csv:{line}: .*{message}"):
        read_series(path)
    errors = []
    series = read_series(path, on_error=errors.append)
    assert [error.line for error in errors] == [line]
    assert 9 not in series.values


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("d,v\n2024-01-01,1\n", {}, "no two rows"),
        ("a,v\nx,1\ny,2\n", {}, "none of the columns 'a', 'v' begins with a date"),
        ("d,v\n2024-01-01,x\n2024-01-02,y\n", {}, "no column but the date's begins with a number"),
        (TABLE, {"columns": ["cold"]}, "there is no column 'cold'; the columns are 'when', 'load'"),
        (TABLE, {"columns": ["note"]}, "'a' in the column 'note' is no number"),
        ("d,v\n2024-01-01,1\n2024-01-02,1\n2424-01-02,1\n", {}, "check the dates"),
    ],
)
def test_a_file_that_is_no_series_is_an_error(tmp_path, text, options, message):
    with pytest.raises(DataError, match=message):
        read_series(_write(tmp_path, text), **options)
