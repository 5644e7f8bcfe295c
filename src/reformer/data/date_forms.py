"""`DateForm`: the form in which a file writes its dates, found from its cells, to read and to write by."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from re import Match, Pattern

import numpy as np

from reformer.data.cadence import Cadence

MONTHS = (
    "january february march april may june july august september october november december".split()  # noqa: SIM905
)
DAY_FIRST, MONTH_FIRST, YEAR_FIRST, EXCEL, EPOCH = "day-first", "month-first", "year-first", "excel", "epoch"
NAMED_FORMATS = (DAY_FIRST, MONTH_FIRST, YEAR_FIRST, EXCEL, EPOCH)
"""Values of `data.date_format` beside patterns such as `%d.%m.%Y`."""

_TIME = (
    r"(?:(?:[Tt]|,?\s+)(?P<H>\d{1,2})(?:[:.](?P<M>\d{2})(?:[:.](?P<S>\d{2})(?:[.,](?P<f>\d{1,9}))?)?)?"
    r"(?:\s?(?P<p>[AaPp]\.?[Mm]\.?))?(?:\s?(?P<z>Z|UTC|[+-]\d{2}(?::?\d{2})?))?)?"
)
_SEPARATED = (
    r"(?P<Y>\d{4})(?P<s>[-/. ])(?P<m>\d{1,2})(?P=s)(?P<d>\d{1,2})",
    r"(?P<a>\d{1,2})(?P<s>[-/. ])(?P<b>\d{1,2})(?P=s)(?P<y>\d{4}|\d{2})",
    r"(?P<d>\d{1,2})(?:[-/ ]|\. ?)(?P<n>[A-Za-z]{3,9})(?:[-/ ]|[.,] ?)(?P<Y>\d{4}|\d{2})",
    r"(?P<n>[A-Za-z]{3,9})\.? (?P<d>\d{1,2}),? (?P<Y>\d{4})",
    r"(?P<n>[A-Za-z]{3,9})(?:[-/ ]|[.,] ?)(?P<Y>\d{4}|\d{2})",
    r"(?P<Y>\d{4})[-/ ](?P<n>[A-Za-z]{3,9})",
    r"(?P<Y>\d{4})年(?P<m>\d{1,2})月(?:(?P<d>\d{1,2})日)?",
    r"(?P<Y>\d{4})[-/ ]?[Qq](?P<q>[1-4])",
    r"[Qq](?P<q>[1-4])[-/ ]?(?P<Y>\d{4})",
    r"(?P<Y>\d{4})-?W(?P<w>\d{2})(?:-?(?P<e>[1-7]))?",
    r"(?P<Y>\d{4})[-/Mm](?P<m>\d{1,2})",
    r"(?P<m>\d{1,2})[-/](?P<Y>\d{4})",
    r"(?P<Y>\d{4})(?P<m>\d{2})(?P<d>\d{2})T(?P<H>\d{2})(?P<M>\d{2})?(?P<S>\d{2})?(?P<z>Z|[+-]\d{2}(?::?\d{2})?)?",
)
_NUMERIC = (
    r"(?P<Y>1[89]\d{2}|2[01]\d{2})",
    r"(?P<Y>1[89]\d{2}|2[01]\d{2})\.(?P<m>0[1-9]|1[0-2])",
    r"(?P<m>0?[1-9]|1[0-2])\.(?P<Y>1[89]\d{2}|2[01]\d{2})",
    r"(?P<Y>1[89]\d{2}|2[01]\d{2})(?P<m>0[1-9]|1[0-2])",
    r"(?P<Y>1[89]\d{2}|2[01]\d{2})(?P<m>0[1-9]|1[0-2])(?P<d>[0-3]\d)(?:(?P<H>[01]\d|2[0-3])(?:(?P<M>[0-5]\d)(?P<S>[0-5]\d)?)?)?",
)
_EXCEL = r"(?P<excel>[1-9]\d{4}(?:\.\d*)?)"
_EPOCH = r"(?P<epoch>(?:\d{19}|\d{16}|\d{13}|\d{9,10})(?:\.\d*)?)"


def _compiled(pattern: str, time: str = "") -> Pattern[str]:
    return re.compile(rf"\s*{pattern}{time if '?P<H>' not in pattern else ''}\s*", re.ASCII)


SEPARATED = tuple(_compiled(pattern, _TIME) for pattern in _SEPARATED)
"""Forms that no number has."""
NUMERIC = tuple(_compiled(pattern) for pattern in (*_NUMERIC, _EPOCH, _EXCEL))
"""Forms that numbers may have by chance."""
_ABY = SEPARATED[1]
_BY_NAME = {EXCEL: _compiled(_EXCEL), EPOCH: _compiled(_EPOCH)}

_ORDERS = {DAY_FIRST: "dmY", MONTH_FIRST: "mdY", YEAR_FIRST: "Ymd"}
_EXCEL_BEGINS, _EPOCH_BEGINS = datetime(1899, 12, 30), datetime(1970, 1, 1)
LOOKED_AT = 200
"""Cells by which a form is told."""


@dataclass(frozen=True)
class ParsedDate:
    """Date of a cell: its clock, and the clock's distance from UTC where the cell says it."""

    clock: datetime
    offset: timedelta | None = None


@dataclass(frozen=True)
class DateForm:
    """Form of dates: a pattern whose groups are their parts, or, with `%`, one of `datetime.strptime`.

    Args:
        sample: a cell of the form; another date is written by replacing its parts.
        order: of two numbers before a year, which comes first.
        padded, padded_hours: whether days and months, and hours, below 10 have a zero.
        shift: by which the dates of a series differ from the sample's clock: that of its time zone.
    """

    pattern: Pattern[str] | str
    sample: str
    order: str | None = None
    padded: bool = True
    padded_hours: bool = True
    shift: timedelta = timedelta(0)

    def read(self, cell: str) -> ParsedDate:
        """The date of a cell.

        Raises:
            ValueError: it has another form, or is no date.
        """
        if isinstance(self.pattern, str):
            read = datetime.strptime(cell.strip(), self.pattern)
            return ParsedDate(read.replace(tzinfo=None), read.utcoffset())
        found = self.pattern.fullmatch(cell)
        if found is None:
            raise ValueError(repr(cell))
        parts = {name: part for name, part in found.groupdict().items() if part is not None}
        return _parsed(parts, self.order)

    def write(self, date: np.datetime64) -> str:
        """A date in this form."""
        moment = date.astype("datetime64[s]").item()
        # Before the year 1 or after 9999.
        if not isinstance(moment, datetime):
            return str(date)
        with suppress(OverflowError):
            moment += self.shift
        if isinstance(self.pattern, str):
            zone = datetime.strptime(self.sample.strip(), self.pattern).tzinfo
            return moment.replace(tzinfo=zone).strftime(self.pattern)
        found = self.pattern.fullmatch(self.sample)
        assert found is not None
        written, end = "", 0
        spans = sorted((found.span(name), name) for name in found.groupdict() if found.span(name)[0] >= 0)
        for (begin, stop), name in spans:
            written += self.sample[end:begin] + self._part(name, found, moment)
            end = stop
        return (written + self.sample[end:]).strip()

    def is_regular(self, cells: Sequence[str]) -> bool:
        """Whether the dates among the cells, each counted once, are equally far apart and rise."""
        dates = np.array([self.read(cell).clock for cell in cells if _reads(self, cell)], dtype="datetime64[s]")
        if len(np.unique(dates)) < len(dates):
            dates = np.unique(dates)
        return len(dates) > 2 and bool((np.diff(Cadence.of(dates).positions(dates)) == 1).all())

    def _part(self, name: str, found: Match[str], moment: datetime) -> str:
        sample, groups = found[name], {key for key, value in found.groupdict().items() if value is not None}
        if name in ("s", "z"):
            return sample
        if name in ("a", "b", "y"):
            name = _ORDERS[self.order or DAY_FIRST]["aby".index(name)]
        if name in ("excel", "epoch"):
            return _number(sample, moment, excel=name == "excel")
        if name == "f":
            return "0" * len(sample)
        if name == "n":
            month = MONTHS[moment.month - 1]
            month = month[:3] if len(sample) == 3 else month
            return month.upper() if sample.isupper() else month.capitalize() if sample[0].isupper() else month
        if name == "p":
            half = ("a", "p")[moment.hour >= 12] + sample[1:]
            return half.upper() if sample[0].isupper() else half
        week = moment.isocalendar()
        value = {
            "Y": week.year if "w" in groups else moment.year,
            "q": (moment.month + 2) // 3,
            "m": moment.month,
            "w": week.week,
            "e": week.weekday,
            "d": moment.day,
            "H": (moment.hour + 11) % 12 + 1 if "p" in groups else moment.hour,
            "M": moment.minute,
            "S": moment.second,
        }[name]
        if name == "Y":
            return f"{value:04d}"[-len(sample) :]
        unpadded = {"q", "e", *(() if self.padded else "md"), *(() if self.padded_hours else "H")}
        return str(value) if name in unpadded else f"{value:02d}"


def _number(sample: str, moment: datetime, *, excel: bool) -> str:
    """The number of a date, with as many digits behind the point as the sample has."""
    whole, point, fraction = sample.partition(".")
    if excel:
        days = (moment - _EXCEL_BEGINS) / timedelta(days=1)
        return f"{days:.{len(fraction)}f}" + ("." if point and not fraction else "")
    seconds = (moment - _EPOCH_BEGINS) // timedelta(seconds=1)
    return f"{seconds * 10 ** _epoch_digits(whole)}{point}{'0' * len(fraction)}"


def _epoch_digits(whole: str) -> int:
    """How many decimal digits of a second a number since 1970 ends with."""
    return max(0, len(whole) - 10)


def _parsed(parts: dict[str, str], order: str | None) -> ParsedDate:
    if "excel" in parts:
        days, _, fraction = parts["excel"].partition(".")
        seconds = float(f"0.{fraction or 0}") * 86400
        # So few digits that seconds cannot be told: the nearest minute.
        unit = 60 if fraction and 86400 / 10 ** len(fraction) > 1 else 1
        clock = _EXCEL_BEGINS + timedelta(days=int(days), seconds=round(seconds / unit) * unit)
        return ParsedDate(clock)
    if "epoch" in parts:
        whole = parts["epoch"].partition(".")[0]
        return ParsedDate(_EPOCH_BEGINS + timedelta(seconds=int(whole) // 10 ** _epoch_digits(whole)), timedelta(0))
    if "a" in parts:
        parts = parts | {_ORDERS[order or DAY_FIRST][place]: parts[name] for place, name in enumerate("aby")}
    year = int(parts["Y"])
    if len(parts["Y"]) == 2:
        # As `strptime` reads %y.
        year += 1900 if year >= 69 else 2000
    day = _day(year, parts)
    hour = int(parts.get("H", 0))
    if "p" in parts:
        if not 1 <= hour <= 12:
            raise ValueError(f"{hour} {parts['p']}")
        hour = hour % 12 + (12 if parts["p"][0] in "pP" else 0)
    time = timedelta(hours=hour, minutes=int(parts.get("M", 0)), seconds=int(parts.get("S", 0)))
    if hour > 23 or int(parts.get("M", 0)) > 59 or int(parts.get("S", 0)) > 59:
        raise ValueError(f"{time} is no time of a day")
    offset = parts.get("z")
    return ParsedDate(datetime.combine(day, datetime.min.time()) + time, None if offset is None else _offset(offset))


def _day(year: int, parts: dict[str, str]) -> date:
    if "w" in parts:
        return date.fromisocalendar(year, int(parts["w"]), int(parts.get("e", 1)))
    month = int(parts.get("m", 1))
    if "q" in parts:
        month = 3 * int(parts["q"]) - 2
    if "n" in parts:
        name = parts["n"].lower()
        months = [number for number, month in enumerate(MONTHS, 1) if name in (month, month[:3])]
        if not months:
            raise ValueError(f"{parts['n']!r} is no month")
        month = months[0]
    return date(year, month, int(parts.get("d", 1)))


def _offset(written: str) -> timedelta:
    """The distance of a clock from UTC.

    >>> _offset("-0330"), _offset("Z")
    (datetime.timedelta(days=-1, seconds=73800), datetime.timedelta(0))
    """
    if written in ("Z", "UTC"):
        return timedelta(0)
    digits = written[1:].replace(":", "")
    distance = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    if distance >= timedelta(days=1):
        raise ValueError(f"{written} is no distance from UTC")
    return -distance if written[0] == "-" else distance


class AmbiguousDatesError(ValueError):
    """Dates that may be read with the day or with the month first."""


def find_form(cells: Sequence[str], date_format: str | None = None, hint: str | None = None) -> DateForm | None:
    """The form in which at least half of the cells are dates; None if there is none.

    Args:
        date_format: one of `NAMED_FORMATS`, or a pattern of `strptime`.
        hint: the order to take where no cell and no regularity tells it.

    Raises:
        AmbiguousDatesError: nothing tells whether the day or the month is first.
    """
    cells = [cell for cell in cells if cell.strip()]
    if date_format is not None and "%" in date_format:
        return _if_most(DateForm(date_format, ""), cells)
    if date_format in _BY_NAME:
        return _if_most(DateForm(_BY_NAME[date_format], ""), cells)
    looked_at = cells[:LOOKED_AT]
    numbers = all(cell.strip().replace(".", "", 1).isdecimal() for cell in looked_at)
    for pattern in NUMERIC if numbers else SEPARATED:
        matching = [cell for cell in looked_at if pattern.fullmatch(cell)]
        if not matching or 2 * len(matching) < len(looked_at):
            continue
        orders: list[str | None] = [None]
        if pattern is _ABY:
            orders = [date_format] if date_format in _ORDERS else list(_possible_orders(cells))
        forms = [form for order in orders if (form := _if_most(DateForm(pattern, "", order), cells))]
        if len(forms) > 1:
            forms = [_told_by_steps(forms, cells, hint)]
        if forms:
            return forms[0]
    return None


def _if_most(form: DateForm, cells: Sequence[str]) -> DateForm | None:
    """The form with its sample, if it is that of at least half of the cells."""
    read = [cell for cell in cells[:LOOKED_AT] if _reads(form, cell)]
    if not read or 2 * len(read) < len(cells[:LOOKED_AT]):
        return None
    last = next(cell for cell in reversed(cells) if _reads(form, cell))
    # Some programs leave out the time at midnight.
    longest = max(reversed(read), key=lambda cell: len(cell.split(":")))
    sample = longest if ":" in longest and ":" not in last else last
    short: set[str] = set()
    if not isinstance(form.pattern, str):
        found = [match.groupdict() for cell in cells if (match := form.pattern.fullmatch(cell))]
        short = {name for parts in found for name in ("a", "b", "m", "d", "H") if len(parts.get(name) or "00") == 1}
    return replace(form, sample=sample, padded=not short - {"H"}, padded_hours="H" not in short)


def _reads(form: DateForm, cell: str) -> bool:
    try:
        form.read(cell)
    except (ValueError, OverflowError):
        return False
    return True


def _possible_orders(cells: Sequence[str]) -> Iterator[str]:
    """The orders of two numbers before a year that no cell contradicts, or that most cells allow."""
    found = [match for cell in cells if (match := _ABY.fullmatch(cell))]
    counts = {}
    for order, places in _ORDERS.items():
        day, month, year = (places.index(part) for part in "dmY")
        fits = [int(match["aby"[day]]) <= 31 and int(match["aby"[month]]) <= 12 for match in found]
        long_year = any(len(match["y"]) == 4 for match in found)
        counts[order] = sum(fits) if year == 2 or not long_year else 0
    most = max(counts.values())
    yield from (order for order, count in counts.items() if count == most)


def _told_by_steps(forms: Sequence[DateForm], cells: Sequence[str], hint: str | None) -> DateForm:
    """The one form in which the dates are equally far apart; where several are, that of the hint.

    Raises:
        AmbiguousDatesError: there is no hint either.
    """
    # Where dots stand between the numbers, the day is first in every country that writes dates so.
    if _ABY.fullmatch(forms[0].sample)["s"] == ".":  # pyright: ignore[reportOptionalSubscript]
        hint = DAY_FIRST
    regular = [form for form in forms if form.is_regular(cells)]
    named = [form for form in regular or forms if form.order == hint]
    if len(regular) != 1 and not named:
        orders = " or ".join(f'"{form.order}"' for form in forms)
        raise AmbiguousDatesError(f"{forms[0].sample!r} may be {orders}, and no row tells which")
    return regular[0] if len(regular) == 1 else named[0]
