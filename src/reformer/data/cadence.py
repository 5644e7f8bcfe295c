"""`Cadence`: how far apart the steps of a series are, in seconds, days of the week or months."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

Dates = NDArray[np.datetime64]

DAY = 86400
SHORTEST_MONTH = 28 * DAY
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

# A series that leaves out other days than the weekend has to show it for so long.
DAYS_THAT_SHOW_A_WEEK = 28
MOST_DAYS_OFF = 3
# Of the dates so many must lie on the same day of their months; the others are reported one by one.
FITTING = 0.8
_BUSINESS = ("business end", "business start")


@dataclass(frozen=True)
class Cadence:
    """Distance of two steps.

    Args:
        step: so many units.
        unit: seconds, days of the week that `anchor` names, or months.
        anchor: of "D" the days, Monday first, as "1111100"; of "M" the day, which a shorter month ends before, as "31",
            or "business end" or "business start", the last or first of Monday to Friday; empty: the first date's.
    """

    step: int
    unit: Literal["s", "D", "M"]
    anchor: str = ""

    def __str__(self) -> str:
        if self.unit == "D":
            days = [day for day, counts in zip(WEEKDAYS, self.anchor, strict=True) if counts == "1"]
            return f"{self.step} of the days {', '.join(days)}"
        return f"{self.step} {'months' if self.unit == 'M' else 'seconds'}"

    @property
    def is_daily(self) -> bool:
        """Whether the steps are days, be it not all of a week."""
        return self.unit == "D" or (self.unit, self.step) == ("s", DAY)

    @classmethod
    def of(cls, dates: Dates, expected: Self | None = None) -> Self:
        """The commonest distance of two dates, or the smallest of those.

        Args:
            expected: what to take for dates that fit in with it, such as five days that show no weekend.
        """
        found = cls._of(dates)
        if expected is None or expected == found:
            return found
        daily = expected.is_daily and found.is_daily
        monthly = expected.unit == found.unit == "M" and expected.step == found.step
        if (daily or monthly) and not (expected.positions(dates) < 0).any():
            return expected
        return found

    @classmethod
    def _of(cls, dates: Dates) -> Self:
        seconds = np.diff(dates).astype(np.int64)
        counted = Counter(seconds[seconds > 0].tolist())
        if not counted:
            return cls(1, "s")
        step = max(counted, key=lambda each: (counted[each], -each))
        if step >= SHORTEST_MONTH:
            anchor = _month_anchor(dates)
            months = np.diff(dates.astype("datetime64[M]")).astype(np.int64)
            months = months[months > 0]
            if anchor is not None and len(months):
                return cls(int(Counter(months.tolist()).most_common(1)[0][0]), "M", anchor)
        if step == DAY:
            week = _week(dates)
            if week is not None:
                return cls(1, "D", week)
        return cls(int(step), "s")

    def dates(self, first: np.datetime64, count: int) -> Dates:
        """`[count]` dates from `first` on.

        >>> Cadence(1, "M", "31").dates(np.datetime64("2024-01-31T00:00:00"), 3).astype("datetime64[D]").tolist()[1]
        datetime.date(2024, 2, 29)
        """
        many = np.arange(count) * self.step
        if self.unit == "s":
            return first + many * np.timedelta64(1, "s")
        day = first.astype("datetime64[D]")
        if self.unit == "D":
            days = np.busday_offset(day, many, roll="forward", weekmask=self.anchor)
        else:
            anchor = self.anchor or str((day - day.astype("datetime64[M]")).astype(int) + 1)
            days = _days_of_months(day.astype("datetime64[M]") + many, anchor)
        return days.astype("datetime64[s]") + (first - day.astype("datetime64[s]"))

    def positions(self, dates: Dates) -> NDArray[np.int64]:
        """How many steps each date lies after the first one; -1 for one that lies on no step, or before the first."""
        first, day = dates[0], dates.astype("datetime64[D]")
        if self.unit == "s":
            count, rest = np.divmod((dates - first).astype(np.int64), self.step)
            return np.where(rest == 0, np.maximum(count, -1), -1)
        same_time = (dates - day == first - day[0]).astype(bool)
        if self.unit == "D":
            count = np.busday_count(day[0], day, weekmask=self.anchor)
            fits = same_time & np.is_busday(day, weekmask=self.anchor)
        else:
            months = day.astype("datetime64[M]")
            anchor = self.anchor or str((day[0] - months[0]).astype(int) + 1)
            count, rest = np.divmod((months - months[0]).astype(np.int64), self.step)
            fits = same_time & (rest == 0) & (day == _days_of_months(months, anchor))
        return np.where(fits, np.maximum(count, -1), -1).astype(np.int64)


def _days_of_months(months: NDArray[np.datetime64], anchor: str) -> NDArray[np.datetime64]:
    first = months.astype("datetime64[D]")
    after = (months + 1).astype("datetime64[D]")
    if anchor == "business start":
        return np.busday_offset(first, 0, roll="forward")
    if anchor == "business end":
        return np.busday_offset(after, -1, roll="forward")
    return np.minimum(first + (int(anchor) - 1), after - 1)


def _month_anchor(dates: Dates) -> str | None:
    """The day of the month on which nearly all dates lie: the 31st where they are the last ones of their months."""
    days, months = dates.astype("datetime64[D]"), dates.astype("datetime64[M]")
    commonest = Counter((days - months.astype("datetime64[D]")).astype(int).tolist()).most_common(1)[0][0] + 1
    last = int((days - months.astype("datetime64[D]")).astype(int).max()) + 1
    anchors = ("31", str(commonest), str(last), *_BUSINESS)
    fitting = {anchor: float((days == _days_of_months(months, anchor)).mean()) for anchor in dict.fromkeys(anchors)}
    best = max(fitting, key=lambda anchor: fitting[anchor])
    return best if fitting[best] == 1 or (fitting[best] >= FITTING and len(dates) > 3) else None


def _week(dates: Dates) -> str | None:
    """The days of the week on which there are dates, if there is none on others; None if all seven are some."""
    days = dates.astype("datetime64[D]")
    # The first of January 1970 was a Thursday.
    occurring = Counter(((days.astype(np.int64) + 3) % 7).tolist())
    week = "".join("1" if day in occurring else "0" for day in range(7))
    span = int((days[-1] - days[0]).astype(int)) + 1
    if span <= 0 or week == "1111111" or (dates - days != dates[0] - days[0]).any():
        return None
    if week == "1111100":
        # From Monday to Friday of one week, no weekend is left out.
        return week if span > len(occurring) else None
    weeks = span // 7
    often = span >= DAYS_THAT_SHOW_A_WEEK and min(occurring.values()) * 2 > weeks
    return week if often and week.count("0") <= MOST_DAYS_OFF else None
