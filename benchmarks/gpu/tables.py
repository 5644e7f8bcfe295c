"""What a card's results say, in Markdown: for the terminal and for the documentation."""

from typing import Any

from benchmarks.gpu.contenders import ACTIONS, BOTH
from benchmarks.gpu.counting import Shape, attention
from benchmarks.markdown import by_length, grid, ratios
from benchmarks.table import Row, duration, measured, short, size

BEST = "full attention, best"


def gpu(result: dict[str, Any]) -> str:
    """Everything that was measured, and what was not for a reason."""
    machine, rows = result["machine"], result["rows"]
    versions = machine["versions"]
    parts = [
        f"{machine['card']}, driver {machine['driver']}, CUDA {machine['cuda']}, torch {versions['torch']}, triton "
        f"{versions['triton']}, commit {machine['commit']}. {_checked(result['check'])}",
    ]
    for action in ACTIONS:
        found = [row for row in measured(rows) if row["action"] == action]
        if found:
            found = found + best(found)
            parts += [f"**{action}**: time, 8 heads of 64, causal, bfloat16", by_length(found, _time)]
            compared = [row for row in found if row["family"] != "full" or row["contender"] == BEST]
            parts += [f"**{action}**: how many times as long as ours, at as many rounds", ratios(compared)]
    shares = _shares(result)
    if shares:
        parts += [
            "Shares of what the card copies and multiplies at most, from the counted bytes and operations",
            shares,
        ]
    parts += [_train(result["train"])] if result["train"] else []
    parts += [_stream(record) for record in result["stream"]]
    missing = [_missing(row) for row in (*rows, *result["train"]) if "error" in row or "skipped" in row]
    missing += [f"- {name}: {seen['error']}" for name, seen in result["contracts"].items() if isinstance(seen, dict)]
    if missing:
        parts += ["Not measured:", "\n".join(missing)]
    return "\n\n".join(parts)


def best(rows: list[Row]) -> list[Row]:
    """At each length and action the fastest of torch's kernels for full attention."""
    full = [row for row in rows if row["family"] == "full"]
    found = []
    for length in sorted({row["length"] for row in full}):
        fastest = min((row for row in full if row["length"] == length), key=lambda row: row["median_seconds"])
        found.append({**fastest, "contender": BEST})
    return found


def _checked(records: list[Row]) -> str:
    held = sum(record["holds"] for record in records)
    return f"The contract holds in {held} of {len(records)} calls."


def _shares(result: dict[str, Any]) -> str:
    limits = result.get("limits")
    rows = [row for row in measured(result["rows"]) if row["family"] == "ours"]
    if limits is None or not rows:
        return ""
    lines = []
    for row in rows:
        work = attention(Shape(), row["rounds"], with_backward=row["action"] == BOTH) * row["length"]
        seconds = row["median_seconds"]
        lines.append(
            [
                f"{row['contender']}, {row['action']}, {short(row['length'])}",
                f"{work.once / seconds / limits['bytes_a_second']:.0%}",
                f"{work.asked / seconds / limits['bytes_a_second']:.0%}",
                f"{work.operations / seconds / limits['operations_a_second']:.0%}",
            ]
        )
    return grid(["", "memory, every row once", "memory, as tiles of 64 ask", "products"], lines)


def _train(rows: list[Row]) -> str:
    lines = [
        [
            short(row["length"]),
            duration(row["median_seconds"]),
            f"{row['length'] / row['median_seconds']:,.0f}",
            size(row["peak_bytes"]),
        ]
        for row in measured(rows)
    ]
    return grid(["a training step on one sequence of", "time", "tokens a second", "peak memory"], lines)


def _stream(record: Row) -> str:
    rate = record["read"] / max(record["seconds"], 1e-9)
    return (
        f"A stream of {record['tokens']:,} tokens: {record['read']:,} read in {duration(record['seconds'])}, "
        f"{rate:,.0f} a second, with a state of {record.get('state_bytes', 0):,} bytes."
    )


def _time(row: Row) -> str:
    return duration(row["median_seconds"])


def _missing(row: Row) -> str:
    why = row.get("error") or row.get("skipped")
    return f"- {row['contender']} at {short(row['length'])}, {row['action']}: {str(why).strip().splitlines()[0]}"


__all__ = ["best", "gpu"]
