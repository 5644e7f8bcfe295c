"""Memory and time of a measurement, foretold from smaller sizes, so that nothing is begun that cannot end."""

from collections.abc import Iterable
from typing import Any

from benchmarks.table import duration, measured, short, size
from benchmarks.worker import LIMIT, NO_MEMORY
from reformer.training.plan.growth import Shape, fitted

SHARE = 0.9
"""Of the memory, beyond which a contender is not begun."""

MOST_SECONDS = 1200.0
"""A single call that would take longer is not begun, unless the run has a greater limit."""


def refusal(
    rows: Iterable[dict[str, Any]],
    contender: str,
    length: int,
    action: str,
    most_bytes: float = float("inf"),
    most_seconds: float = MOST_SECONDS,
) -> str | None:
    """Why a contender's action is not run at a length; None where it is.

    Memory and time are carried on from the greatest lengths below it as `reformer plan` does it: a fixed part, one for
    each token, and one for each pair of tokens. An action that was left out at a smaller length, or failed there by
    the limits of time and memory, is left out here too.
    """
    rows = [row for row in rows if (row["contender"], row["action"]) == (contender, action) and row["length"] < length]
    for row in rows:
        if "skipped" in row:
            return row["skipped"]
        if row.get("error", "").startswith((LIMIT, NO_MEMORY)):
            return f"{row['error']} at {short(row['length'])}"
    mine = sorted((row for row in measured(rows) if row["median_seconds"]), key=lambda row: row["length"])
    if not mine:
        return None
    by = f"by what {short(mine[-1]['length'])} took"
    needed = carried_on(mine, "peak_bytes", length)
    if needed is not None and needed > SHARE * most_bytes:
        return f"does not fit: about {size(int(needed))} {by}, of {size(int(most_bytes))}"
    seconds = carried_on(mine, "median_seconds", length)
    if seconds is not None and seconds > most_seconds:
        return f"too long: about {duration(seconds)} a call {by}"
    return None


def carried_on(rows: list[dict[str, Any]], what: str, length: int) -> float | None:
    """A figure at a greater length, from rows in the order of theirs."""
    known = [(Shape(1, row["length"]), float(row[what])) for row in rows if row[what]]
    return fitted(known, pairs=True).at(Shape(1, length)) if known else None
