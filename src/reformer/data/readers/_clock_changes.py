"""Changes of the clocks in dates without an offset: the hour that autumn has twice, and the one that spring lacks."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reformer.data.cadence import Dates
from reformer.data.errors import DataError

HOUR = 3600
MONTHS_OF_CHANGES = (3, 4, 9, 10, 11)
LAST_HOUR = 3
SUNDAY = 6


@dataclass(frozen=True)
class ClockChanges:
    """Rows without their changes of the clocks.

    Args:
        dates: equally far apart, on the clock of the first row unless only the first row of a repeated hour counts.
        kept: which rows count.
        shift: how far the clock of the last row is from that of the first.
    """

    dates: Dates
    kept: NDArray[np.bool_]
    shift: timedelta = timedelta(0)


def without_clock_changes(
    name: str, lines: Sequence[int], dates: Dates, dst: Literal["first", "shift", "utc"] | None
) -> ClockChanges:
    """The rows of a series whose clock may have gone back and forward.

    Raises:
        DataError: an hour is there twice, on a night when clocks go back, and nothing says what to make of it.
    """
    unchanged = ClockChanges(dates, np.ones(len(dates), dtype=bool))
    between = np.diff(dates).astype(np.int64)
    steps = Counter(between[between > 0].tolist())
    step = steps.most_common(1)[0][0] if steps else 0
    if not 0 < step <= HOUR or HOUR % step:
        return unchanged
    back = [at + 1 for at in np.flatnonzero(between == step - HOUR).tolist() if _is_night_of_change(dates[at + 1])]
    if not back:
        return unchanged
    if dst is None:
        at = back[0]
        hour = str(dates[at].astype("datetime64[h]")).replace("T", " ")
        raise DataError(
            name,
            lines[at],
            f"the hour from {hour}:00 on is there twice, as when the clocks go back",
            'say what to make of it by --dst or data.dst: "first" leaves its second rows out, "shift" counts the time '
            'that has passed and goes on by the last clock, "utc" by the first',
        )
    if dst == "first":
        again = np.zeros(len(dates), dtype=bool)
        for at in back:
            again[at : at + HOUR // step] = dates[at : at + HOUR // step] <= dates[at - 1]
        return ClockChanges(dates, ~again)
    moved = np.zeros(len(dates), dtype=np.int64)
    moved[back] = HOUR
    forward = [at + 1 for at in np.flatnonzero(between == step + HOUR).tolist() if _is_night_of_change(dates[at + 1])]
    moved[forward] = -HOUR
    passed = np.cumsum(moved)
    return ClockChanges(dates + passed.astype("timedelta64[s]"), unchanged.kept, timedelta(seconds=-int(passed[-1])))


def _is_night_of_change(date: np.datetime64) -> bool:
    moment = date.astype("datetime64[s]").item()
    return moment.weekday() == SUNDAY and moment.month in MONTHS_OF_CHANGES and moment.hour <= LAST_HOUR
