"""Forms of dates: told by their cells, refused where nothing tells, and written as they are read."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from reformer.data.date_forms import AmbiguousDatesError, find_form

DAYS = [datetime(2024, 1, 1) + timedelta(days=day) for day in range(60)]


@pytest.mark.parametrize(
    ("cells", "later", "written"),
    [
        (["2024-01-31", "2024-02-29"], "2024-03-31", "2024-03-31"),
        (["2024-01-31 23:00", "2024-02-01 00:00"], "2024-02-01T01:00", "2024-02-01 01:00"),
        (["2024-01-31", "2024-01-31 01:00:00"], "2024-02-01", "2024-02-01 00:00:00"),
        (["2024/1/5", "2024/1/6"], "2024-01-07", "2024/1/7"),
        (["2024.01.05", "2024.01.06"], "2024-01-07", "2024.01.07"),
        (["2024年1月5日", "2024年1月6日"], "2024-01-07", "2024年1月7日"),
        (["2024-01", "2024-02"], "2024-03-01", "2024-03"),
        (["01/2024", "02/2024"], "2024-03-01", "03/2024"),
        (["2024.01", "2024.02"], "2024-03-01", "2024.03"),
        (["202401", "202402"], "2024-03-01", "202403"),
        (["2023", "2024"], "2025-01-01", "2025"),
        (["2024Q1", "2024Q2"], "2024-07-01", "2024Q3"),
        (["Q1 2024", "Q2 2024"], "2024-07-01", "Q3 2024"),
        (["2024-W05", "2024-W06"], "2024-02-12", "2024-W07"),
        (["20240101", "20240102"], "2024-01-03", "20240103"),
        (["2024010100", "2024010101"], "2024-01-01T02:00", "2024010102"),
        (["20240101T0000Z", "20240101T0100Z"], "2024-01-01T02:00", "20240101T0200Z"),
        (["1704067200", "1704070800"], "2024-01-01T02:00", "1704074400"),
        (["1704067200.0", "1704070800.0"], "2024-01-01T02:00", "1704074400.0"),
        (["1704067200000", "1704070800000"], "2024-01-01T02:00", "1704074400000"),
        (["45292", "45293"], "2024-01-03", "45294"),
        (["45292.000000", "45292.041667"], "2024-01-01T02:00", "45292.083333"),
        (["31.01.2024", "01.02.2024"], "2024-02-02", "02.02.2024"),
        (["13.1.24 7:05", "14.1.24 7:05"], "2024-01-15T07:05", "15.1.24 7:05"),
        (["01/13/2024 11:00 PM", "01/14/2024 12:00 AM"], "2024-01-14T13:00", "01/14/2024 01:00 PM"),
        (["1/13/2024 9:00 a.m.", "1/13/2024 10:00 a.m."], "2024-01-13T12:00", "1/13/2024 12:00 p.m."),
        (["Jan 2024", "Feb 2024"], "2024-03-01", "Mar 2024"),
        (["31-JAN-24", "29-FEB-24"], "2024-03-31", "31-MAR-24"),
        (["January 5, 2024", "January 6, 2024"], "2024-01-07", "January 7, 2024"),
        (["2024-01-01T00:00:00+01:00", "2024-01-02T00:00:00+01:00"], "2024-01-03", "2024-01-03T00:00:00+01:00"),
        (["2024-01-01 00:00:00.000", "2024-01-01 01:00:00.000"], "2024-01-01T02:00", "2024-01-01 02:00:00.000"),
    ],
)
def test_a_form_writes_what_it_reads_and_goes_on(cells, later, written):
    form = find_form(cells)
    assert form is not None
    assert form.write(np.datetime64(later, "s")) == written
    clock = form.read(written).clock
    assert np.datetime64(clock, "s") == np.datetime64(later, "s")
    assert [form.write(np.datetime64(form.read(cell).clock, "s")) for cell in cells[1:]] == cells[1:]


@pytest.mark.parametrize("pattern", ["%d/%m/%Y", "%d-%m-%y", "%d/%m/%Y 10:00"])
def test_a_day_above_twelve_tells_the_order(pattern):
    cells = [day.strftime(pattern) for day in DAYS]
    form = find_form(cells)
    assert form is not None
    assert form.order == "day-first"
    assert [form.read(cell).clock.date() for cell in cells] == [day.date() for day in DAYS]
    american = find_form(
        [day.strftime(pattern.replace("%d", "%M").replace("%m", "%d").replace("%M", "%m")) for day in DAYS]
    )
    assert american is not None
    assert american.order == "month-first"


def test_equal_steps_tell_the_order_where_no_day_is_above_twelve():
    form = find_form([f"01/{month:02d}/{year}" for year in (2022, 2023) for month in range(1, 13)])
    assert form is not None
    assert form.order == "day-first"


def test_what_nothing_tells_is_refused_unless_it_is_said():
    cells = [day.strftime("%d/%m/%Y") for day in DAYS[:12]]
    with pytest.raises(AmbiguousDatesError, match=r"'12/01/2024' may be \"day-first\" or \"month-first\""):
        find_form(cells)
    for said in ({"date_format": "day-first"}, {"hint": "day-first"}, {"date_format": "%d/%m/%Y"}):
        form = find_form(cells, **said)
        assert form is not None
        assert form.read(cells[-1]).clock == DAYS[11]
    dots = find_form([cell.replace("/", ".") for cell in cells])
    assert dots is not None
    assert dots.read("12.01.2024").clock == DAYS[11]


def test_a_date_that_is_none_is_an_error():
    form = find_form(["2024-01-01", "2024-01-02"])
    assert form is not None
    for cell in ("2024-02-30", "2024-13-01", "soon", "2024-01-01T25:00", "2024-01-01T00:00+99:00", ""):
        with pytest.raises(ValueError, match=r".*\S"):
            form.read(cell)


def test_a_date_beyond_the_year_9999_is_written_in_iso_form():
    form = find_form(["31.12.9998", "31.12.9999"])
    assert form is not None
    assert form.write(np.datetime64("10000-12-31T00:00:00", "s")) == "10000-12-31T00:00:00"


@pytest.mark.parametrize("cells", [["1.5", "2.7"], ["12:00", "13:00"], ["a", "b"], ["17", "18"], []])
def test_what_is_no_date_has_no_form(cells):
    assert find_form(cells) is None
