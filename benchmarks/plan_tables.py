"""Table of what plans foretold beside what runs took, in Markdown."""

import statistics
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.markdown import grid
from benchmarks.table import duration, size


def shown(result: dict[str, Any]) -> str:
    """The table of a result, for the documentation."""
    return table(result["rows"])


def table(rows: Iterable[dict[str, Any]]) -> str:
    """The rows in Markdown, and below them the errors at the median and at worst."""
    rows = list(rows)
    lines, memory, seconds = [], [], []
    for row in rows:
        if "error" in row:
            lines.append([row["case"], row["error"], *[""] * 5])
            continue
        memory.append(row["planned_bytes"] / row["bytes"] - 1)
        seconds.append(row["planned_seconds"] / row["seconds"] - 1)
        told = [size(int(row["planned_bytes"])), size(row["bytes"]), f"{100 * memory[-1]:+.0f} %"]
        told += [duration(row["planned_seconds"]), duration(row["seconds"]), f"{100 * seconds[-1]:+.0f} %"]
        lines.append([row["case"], *told])
    head = ["run", "memory foretold", "measured", "", "time foretold", "measured", ""]
    return grid(head, lines) + "\n\n" + "\n".join(_errors(memory, seconds)) + "\n"


def _errors(memory: list[float], seconds: list[float]) -> Iterator[str]:
    for name, found in (("memory", memory), ("time", seconds)):
        if found:
            sizes = sorted(map(abs, found))
            middle, worst = 100 * statistics.median(sizes), 100 * sizes[-1]
            yield f"{name}: within {middle:.0f} % at the median, {worst:.0f} % at worst, of {len(sizes)} runs"
