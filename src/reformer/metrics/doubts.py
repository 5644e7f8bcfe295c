"""Doubtful metrics: what is NaN, or too good to be true, in words."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from reformer.metrics.classification import UNKNOWN

ERRORS = ("mase", "mae", "rmse")


def doubts(metrics: Mapping[str, Any]) -> Iterator[str]:
    """A line for each metric that should not be believed as it stands.

    >>> list(doubts({"f1": math.nan}))
    ['f1 is NaN: there was nothing to compute it from, or a prediction was NaN']
    """
    for name, value in metrics.items():
        if isinstance(value, float) and math.isnan(value):
            yield f"{name} is NaN: there was nothing to compute it from, or a prediction was NaN"
        if name.startswith(UNKNOWN):
            yield (
                f"the model does not know {name.removeprefix(UNKNOWN)!r}, which is right {value:,} times and counts as "
                "missed; correct the label, or train again with it"
            )
    zero = [name for name in ERRORS if metrics.get(name) == 0]
    if zero:
        yield (
            f"{', '.join(zero)} of exactly 0: no forecast is that good; look for a column that repeats or counts, or "
            "for numbers that were rounded"
        )
    if metrics.get("constant_forecasts") == 1:
        yield (
            "every forecast is one number although the series changes: its changes may be lost in rounding, or nothing "
            "was learned"
        )
