"""Steps of a calendar: months by their day or their end, days of the week, seconds."""

import numpy as np
import pytest

from reformer.data.cadence import Cadence


def _dates(*texts):
    return np.array(texts, dtype="datetime64[s]")


def _days(first, count, keep):
    days = np.datetime64(first, "D") + np.arange(count)
    return days[[keep(int(day)) for day in (days.astype(int) + 3) % 7]].astype("datetime64[s]")


@pytest.mark.parametrize(
    ("dates", "expected", "after"),
    [
        (["2018-01-31", "2018-02-28", "2018-03-31", "2018-04-30"], (1, "M"), ["2018-05-31", "2018-06-30"]),
        (["2018-03-31", "2018-06-30", "2018-09-30"], (3, "M"), ["2018-12-31", "2019-03-31"]),
        (["2024-04-30", "2024-06-30"], (2, "M"), ["2024-08-31", "2024-10-31"]),
        (["2023-12-30", "2024-01-30", "2024-02-29", "2024-03-30"], (1, "M"), ["2024-04-30", "2024-05-30"]),
        (["2024-03-29", "2024-04-30", "2024-05-31", "2024-06-28"], (1, "M"), ["2024-07-31", "2024-08-30"]),
        (["2024-05-01", "2024-06-03", "2024-07-01", "2024-08-01"], (1, "M"), ["2024-09-02", "2024-10-01"]),
        (["2021-02-28", "2022-02-28", "2023-02-28"], (12, "M"), ["2024-02-29", "2025-02-28"]),
        (["2022-12-31", "2023-12-31"], (12, "M"), ["2024-12-31", "2025-12-31"]),
        (["2024-01-01", "2024-01-08", "2024-01-15"], (7 * 86400, "s"), ["2024-01-22", "2024-01-29"]),
        (["2024-01-01", "2024-01-29", "2024-02-26"], (28 * 86400, "s"), ["2024-03-25", "2024-04-22"]),
    ],
)
def test_steps_go_on_as_the_calendar_does(dates, expected, after):
    found = _dates(*dates)
    cadence = Cadence.of(found)
    assert (cadence.step, cadence.unit) == expected
    assert cadence.positions(found).tolist() == list(range(len(found)))
    assert cadence.dates(found[-1], 3)[1:].astype("datetime64[D]").astype(str).tolist() == after


def test_business_days_know_no_saturday():
    days = _days("2024-01-01", 30, lambda day: day < 5)
    cadence = Cadence.of(days)
    assert str(cadence) == "1 of the days Mon, Tue, Wed, Thu, Fri"
    after = cadence.dates(np.datetime64("2024-03-01T00:00:00"), 3)
    assert after.astype("datetime64[D]").astype(str).tolist() == ["2024-03-01", "2024-03-04", "2024-03-05"]
    # A holiday is a step without a row, a Saturday none.
    dates = _dates("2024-01-05", "2024-01-06", "2024-01-09")
    assert cadence.positions(dates).tolist() == [0, -1, 2]


def test_a_week_without_sundays_has_to_be_shown_for_four_weeks():
    assert Cadence.of(_days("2024-01-01", 60, lambda day: day < 6)).anchor == "1111110"
    assert Cadence.of(_days("2024-01-01", 13, lambda day: day < 6)).unit == "s"


def test_five_days_of_a_week_are_what_is_expected_of_them():
    five = _days("2024-01-01", 5, lambda day: True)
    assert Cadence.of(five) == Cadence(86400, "s")
    business = Cadence(1, "D", "1111100")
    assert Cadence.of(five, business) == business
    daily = Cadence(86400, "s")
    assert Cadence.of(_days("2024-01-01", 30, lambda day: day < 5), daily) == daily
    assert Cadence.of(_days("2024-01-01", 30, lambda day: True), business) == daily
    # Days are no hours without most of their rows, and quarters no months.
    assert Cadence.of(five, Cadence(3600, "s")) == daily
    quarters = _dates("2024-03-31", "2024-06-30", "2024-09-30")
    assert Cadence.of(quarters, Cadence(1, "M", "31")) == Cadence(3, "M", "31")
