"""Results as tables: for the terminal, and in the rows that the documentation shows."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

Row = dict[str, Any]

OURS = "ours"


def short(length: int) -> str:
    """65536 as "64k", 1048576 as "1M", 1000000 as "10^6"."""
    power = len(str(length)) - 1
    if power > 3 and length == 10**power:
        return f"10^{power}"
    for unit, letter in ((1 << 20, "M"), (1 << 10, "k")):
        if length >= unit and length % unit == 0:
            return f"{length // unit}{letter}"
    return str(length)


_UNITS = ((2 * 86400.0, 86400.0, "days"), (7200.0, 3600.0, "hours"), (600.0, 60.0, "minutes"), (1.0, 1.0, "s"))


def duration(seconds: float) -> str:
    """Three digits, in the unit that fits."""
    for least, unit, name in (*_UNITS, (1e-3, 1e-3, "ms")):
        if seconds >= least:
            return f"{_three(seconds / unit)} {name}"
    return f"{_three(seconds * 1e6)} us"


def size(count: int | None) -> str:
    if count is None:
        return "-"
    return f"{_three(count / 2**30)} GB" if count >= 2**30 else f"{max(count, 0) / 2**20:.0f} MB"


def times(ratio: float) -> str:
    return f"{_three(ratio)}x"


def _three(number: float) -> str:
    if number >= 100:
        return f"{number:.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def measured(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if "error" not in row and "skipped" not in row]


def in_order(result: dict[str, Any]) -> list[Row]:
    """The rows that were measured, by length, then action, then contender."""
    actions, contenders = result["actions"], list(result["contracts"])

    def place(row: Row) -> tuple[int, int, int]:
        return row["length"], actions.index(row["action"]), contenders.index(row["contender"])

    return sorted(measured(result["rows"]), key=place)


def speedups(row: Row, rows: Iterable[Row]) -> Iterator[tuple[str, float]]:
    """By how much each of ours is faster than a row of someone else: at equal length and action, and at equal rounds
    where the other has rounds."""
    if row["family"] in (OURS, "machine"):
        return
    for mine in measured(rows):
        same = mine["length"] == row["length"] and mine["action"] == row["action"]
        if mine["family"] == OURS and same and row.get("rounds", mine.get("rounds")) == mine.get("rounds"):
            yield mine["contender"], row["median_seconds"] / mine["median_seconds"]


def print_result(result: dict[str, Any], console: Console) -> None:
    """A table of everything that was measured, and what failed."""
    if not result["rows"]:
        return
    rows = measured(result["rows"])
    cells: dict[str, Callable[[Row], str]] = {
        result.get("axis", "tokens"): lambda row: short(row["length"]),
        "action": lambda row: row["action"],
        "contender": lambda row: row["contender"],
        "time": lambda row: duration(row["median_seconds"]),
        "least - most": lambda row: f"{duration(min(row['seconds']))} - {duration(max(row['seconds']))}",
        "CPU time": lambda row: duration(row["cpu_seconds"]),
        "peak memory": lambda row: size(row["peak_bytes"]),
        "and": lambda row: "; ".join(_remarks(row, rows)),
    }
    table = Table(*cells, title=f"{result['case']}: {result['question']}", title_justify="left")
    for row in in_order(result):
        table.add_row(*(cell(row) for cell in cells.values()))
    console.print(table)
    for row in result["rows"]:
        what = f"{row['contender']} at {short(row['length'])}, {row['action']}"
        if "error" in row:
            console.print(f"{what}: {row['error'].strip().splitlines()[-1]}", style="red", markup=False)
        if "skipped" in row:
            console.print(f"{what}: {row['skipped']}", style="yellow", markup=False)


def _remarks(row: Row, rows: list[Row]) -> Iterator[str]:
    facts = row["facts"]
    if "flops" in facts:
        yield f"{facts['flops'] / row['median_seconds'] / 1e9:.0f} GFLOP/s"
    if row["action"] == "step":
        yield f"{facts.get('tokens', row['length']) / row['median_seconds']:,.0f} tokens/s"
    if "f1" in facts:
        yield f"strict micro-F1 {facts['f1']:.4f}"
    for mine, ratio in speedups(row, rows):
        yield f"{mine} is {times(ratio)} as fast"
