"""Series from tables: steps without a row are missing, and what fits in nowhere is named by its line."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from reformer.data import DataError, read_series
from reformer.data.errors import raise_error
from reformer.data.readers import SeriesOptions, read_panel

TABLE = "when,load,note,heat\n2024-01-01 00:00,1,a,NA\n2024-01-01 01:00,2,b,5\n2024-01-01 03:00,,c,6.5\n"


def _write(folder, text, name="a.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_a_gap_is_filled_with_missing_steps(tmp_path):
    series = read_series(_write(tmp_path, TABLE))
    assert series.columns == ("load", "heat")
    assert str(series.cadence) == "3600 seconds"
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
        ("2024-01-01,1\n2024-01-02\n2024-01-03,3\n2024-01-04,3\n", 3, "the row has 1 cell"),
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


def _table(dates, head="when,load"):
    rows = "".join(f"{date},{10 + number % 7}\n" for number, date in enumerate(dates))
    return f"{head}\n{rows}"


def _hours(first, count, zone=None):
    start = datetime.fromisoformat(first).replace(tzinfo=UTC)
    moments = [start + timedelta(hours=hour) for hour in range(count)]
    return moments if zone is None else [moment.astimezone(ZoneInfo(zone)) for moment in moments]


def test_daily_midnights_with_offsets_are_daily_although_the_clocks_change(tmp_path):
    days = [datetime(2024, 3, 1) + timedelta(days=day) for day in range(60)]
    dates = [day.replace(tzinfo=ZoneInfo("Europe/Berlin")).isoformat() for day in days]
    series = read_series(_write(tmp_path, _table(dates)))
    assert str(series.cadence) == "86400 seconds"
    assert not np.isnan(series.values).any()
    assert series.written(series.dates_after(1)[0]) == "2024-04-30T00:00:00+02:00"


def test_hours_with_offsets_are_hours_although_the_clocks_change(tmp_path):
    dates = [moment.isoformat() for moment in _hours("2024-10-20", 300, "Europe/Berlin")]
    series = read_series(_write(tmp_path, _table(dates)))
    assert str(series.cadence) == "3600 seconds"
    assert not np.isnan(series.values).any()
    assert series.written(series.dates_after(1)[0]) == "2024-11-01T13:00:00+01:00"


@pytest.mark.parametrize(
    ("dst", "steps", "after"),
    [("first", 299, "2024-11-01 13:00"), ("shift", 300, "2024-11-01 13:00"), ("utc", 300, "2024-11-01 14:00")],
)
def test_an_hour_that_is_there_twice_is_named_or_read_as_said(tmp_path, dst, steps, after):
    dates = [f"{moment:%Y-%m-%d %H:%M}" for moment in _hours("2024-10-20", 300, "Europe/Berlin")]
    path = _write(tmp_path, _table(dates))
    for handler in (raise_error, lambda error: None):
        with pytest.raises(DataError, match=r"a\.csv:171: the hour from 2024-10-27 02:00 on is there twice.*--dst"):
            read_series(path, on_error=handler)
    series = read_series(path, options=SeriesOptions(dst=dst))
    assert len(series.dates) == steps
    assert not np.isnan(series.values).any()
    assert series.written(series.dates_after(1)[0]) == after


def test_the_hour_that_spring_lacks_is_missing_or_has_not_passed(tmp_path):
    dates = [f"{moment:%Y-%m-%d %H:%M}" for moment in _hours("2023-10-20", 24 * 200, "Europe/Berlin")]
    path = _write(tmp_path, _table(dates))
    first = read_series(path, options=SeriesOptions(dst="first"))
    assert (len(first.dates), int(np.isnan(first.values).sum())) == (24 * 200, 1)
    passed = read_series(path, options=SeriesOptions(dst="shift"))
    assert (len(passed.dates), int(np.isnan(passed.values).sum())) == (24 * 200, 0)


def test_a_row_that_is_there_twice_on_another_night_is_no_change_of_the_clocks(tmp_path):
    dates = [f"{moment:%Y-%m-%d %H:%M}" for moment in _hours("2024-10-20", 30)]
    with pytest.raises(DataError, match=r"a\.csv:8: .*the same date as an earlier row's"):
        read_series(_write(tmp_path, _table([*dates[:6], *dates[5:]])), options=SeriesOptions(dst="first"))


def test_business_days_and_month_ends_are_steps(tmp_path):
    days = [datetime(2024, 1, 1) + timedelta(days=day) for day in range(61)]
    series = read_series(_write(tmp_path, _table(f"{day:%Y-%m-%d}" for day in days if day.weekday() < 5)))
    assert not np.isnan(series.values).any()
    assert [series.written(date) for date in series.dates_after(2)] == ["2024-03-04", "2024-03-05"]
    ends = [f"{year}-{end}" for year in (2022, 2023) for end in ("03-31", "06-30", "09-30", "12-31")]
    series = read_series(_write(tmp_path, _table(ends)))
    assert (series.step, series.unit) == (3, "M")
    assert [series.written(date) for date in series.dates_after(2)] == ["2024-03-31", "2024-06-30"]


def test_dates_that_nothing_tells_are_refused_with_the_option(tmp_path):
    text = _table(f"{day:02d}/01/2024" for day in range(1, 13))
    with pytest.raises(DataError, match=r'"day-first" or "month-first".*; say which by data\.date_format'):
        read_series(_write(tmp_path, text))
    series = read_series(_write(tmp_path, text), options=SeriesOptions(date_format="day-first"))
    assert series.written(series.dates_after(1)[0]) == "13/01/2024"


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index"])
def test_a_column_that_counts_the_rows_is_no_series(tmp_path, name):
    rows = "".join(f"{number},2024-01-{number + 1:02d},{number % 5}\n" for number in range(20))
    path = _write(tmp_path, f"{name},when,load\n{rows}")
    series = read_series(path)
    assert series.columns == ("load",)
    assert any("counts the rows" in note for note in series.notes)
    assert read_series(path, columns=[name, "load"]).columns == (name, "load")


def test_numbers_are_dates_only_where_they_are_equally_far_apart_or_named_so(tmp_path):
    rows = "".join(f"{45292 + number},{number % 5}\n" for number in range(20))
    assert read_series(_write(tmp_path, f"x,load\n{rows}")).columns == ("load",)
    gap = rows.replace("45300,3\n", "")
    with pytest.raises(DataError, match="begins with a date"):
        read_series(_write(tmp_path, f"x,load\n{gap}"))
    assert len(read_series(_write(tmp_path, f"date,load\n{gap}")).dates) == 20
    assert len(read_series(_write(tmp_path, f"x,load\n{gap}"), date_columns=["x"]).dates) == 20
    # Loads about 45,000 beside dates stay loads.
    both = "".join(f"{45292 + number},2024-01-{number + 1:02d}\n" for number in range(20))
    assert read_series(_write(tmp_path, f"load,when\n{both}")).columns == ("load",)


def test_gaps_are_missing_filled_or_refused_as_said(tmp_path):
    path = _write(tmp_path, "d,v\n2024-01-01,1\n2024-01-02,2\n2024-01-05,5\n2024-01-06,\n2024-01-07,7\n")
    series = read_series(path)
    assert np.isnan(series.values).sum() == 3
    assert "there is no row for 2 steps of 86400 seconds after 2024-01-02T00:00:00" in series.notes[0]
    filled = read_series(path, options=SeriesOptions(gaps="fill"))
    assert filled.values[:, 0].tolist() == [1, 2, 2, 2, 5, 5, 7]
    with pytest.raises(DataError, match=r"a\.csv:4: .*no row for 2 steps.*data\.gaps"):
        read_series(path, options=SeriesOptions(gaps="refuse"))


PANEL = "".join(
    [f"A,2024-01-{day:02d},{day}\n" for day in range(1, 21)] + [f"B,2024-01-{day:02d},{-day}\n" for day in range(5, 26)]
)


@pytest.mark.parametrize("name", ["unique_id", "shop"])
def test_rows_of_several_series_are_several_series(tmp_path, name):
    path = _write(tmp_path, f"{name},ds,y\n{PANEL}")
    first, second = read_panel(path, SeriesOptions())
    assert (first.member, second.member, first.member_column) == ("A", "B", name)
    assert (len(first.dates), len(second.dates)) == (20, 21)
    assert str(first.dates_after(1)[0]).startswith("2024-01-21")
    joined = read_series(path)
    assert joined.columns == ("A", "B")
    assert joined.values.shape == (25, 2)
    assert joined.values[4].tolist() == [5, -5]
    assert np.isnan(joined.values[:4, 1]).all()
    assert np.isnan(joined.values[20:, 0]).all()
    assert f"several series, which the column '{name}' names" in joined.notes[0]


def test_rows_sorted_by_date_and_numbers_as_names_make_a_panel_too(tmp_path):
    rows = "".join(f"2024-01-{day:02d},{shop},{day + shop},{shop}\n" for day in range(1, 21) for shop in (1, 2))
    path = _write(tmp_path, f"ds,shop,y,z\n{rows}")
    with pytest.raises(DataError, match="the same date as an earlier row's"):
        read_series(path)
    joined = read_series(path, options=SeriesOptions(series_column="shop"))
    assert joined.columns == ("1 y", "1 z", "2 y", "2 z")


def test_series_one_after_the_other_are_told_by_the_name_of_their_column(tmp_path):
    rows = "".join(
        f"{name},{year}-01-{day:02d},{day}\n" for name, year in (("A", 2023), ("B", 2024)) for day in range(1, 21)
    )
    assert [part.member for part in read_panel(_write(tmp_path, f"unique_id,ds,y\n{rows}"), SeriesOptions())] == [
        "A",
        "B",
    ]


@pytest.mark.parametrize(
    ("second", "message"),
    [("2024-01-03", "'B' begins at 2024-01-03, which is no whole number of steps"), ("3020-08-07", "check the dates")],
)
def test_series_of_other_steps_or_far_away_are_refused_together(tmp_path, second, message):
    begins = [np.datetime64(first) + np.arange(0, 70, 7) for first in ("2024-01-01", second)]
    rows = "".join(
        f"{name},{day},{day.astype(int) % 5}\n" for name, days in zip("AB", begins, strict=True) for day in days
    )
    path = _write(tmp_path, f"unique_id,ds,y\n{rows}")
    options = SeriesOptions(series_column="unique_id")
    assert len(read_panel(path, options)) == 2
    with pytest.raises(DataError, match=message):
        read_series(path, options=options)


def test_a_date_twice_makes_no_panel_of_a_series_with_remarks(tmp_path):
    rows = [f"2024-01-{day:02d},{'dry' if day % 2 else 'wet'},{day}\n" for day in range(1, 21)]
    with pytest.raises(DataError, match="the same date as an earlier row's"):
        read_series(_write(tmp_path, "ds,note,y\n" + "".join([*rows[:5], rows[4].replace("dry", "wet"), *rows[5:]])))


ROWS = [("Tag", "Last", "Wärme"), *((f"2024-01-{day:02}", f"{day}.5", f"{day % 3}") for day in range(1, 9))]


def _joined(separator, end="\n", rows=ROWS):
    return "".join(separator.join(row) + end for row in rows)


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (_joined(";").encode(), {}),
        (_joined("\t").encode(), {}),
        (_joined("|").encode(), {}),
        (f"sep=;\n{_joined(';')}".encode(), {}),
        (b"\xef\xbb\xbf" + _joined(",").encode(), {}),
        (_joined(";").encode("utf-16"), {"encoding": "utf-16"}),
        (_joined(",").encode("cp1252"), {"encoding": "cp1252"}),
        (_joined(",", "\r").encode(), {}),
        (_joined(";", "\r\n").encode(), {}),
        (_joined(",", rows=[[f'"{cell}"' for cell in row] for row in ROWS]).encode(), {}),
    ],
    ids=["semicolon", "tab", "bar", "sep", "mark", "utf-16", "cp1252", "cr", "crlf", "quotes"],
)
def test_a_table_of_series_is_read_as_all_tables_are(tmp_path, data, options):
    (tmp_path / "a.csv").write_bytes(data)
    series = read_series(tmp_path / "a.csv", options=SeriesOptions(**options))
    assert series.columns == ("Last", "Wärme")
    assert series.values[:, 0].tolist() == [day + 0.5 for day in range(1, 9)]
    named = SeriesOptions(date_columns=["Tag"], columns=["Wärme"], **options)
    assert read_series(tmp_path / "a.csv", options=named).values[:, 0].tolist() == [day % 3 for day in range(1, 9)]


def test_a_table_without_a_header_numbers_its_columns_and_a_counter_is_no_series(tmp_path):
    rows = [(str(number), *row) for number, row in enumerate(ROWS[1:])]
    path = _write(tmp_path, _joined(",", rows=rows))
    series = read_series(path, options=SeriesOptions(header=False))
    assert series.columns == ("3", "4")
    assert len(series.dates) == 8
    assert "counts the rows" in series.notes[0]
    assert read_series(path, options=SeriesOptions(header=False, columns=["4"])).columns == ("4",)


def test_an_encoding_that_was_not_named_is_an_error_with_its_option(tmp_path):
    (tmp_path / "a.csv").write_bytes(_joined(",").encode("utf-16"))
    with pytest.raises(DataError, match=r"--encoding utf-16"):
        read_series(tmp_path / "a.csv")
