"""The tables of a GPU's results, each from the results of one case."""

from benchmarks.gpu.contenders import BOTH
from benchmarks.gpu.counting import Shape, attention
from benchmarks.markdown import Cell, Result, by_length, columns, contracts, grid, of_action, ratios, time_of
from benchmarks.table import Row, duration, in_order, measured, short, size

BEST = "full attention, best"


def gpu_attention(result: Result) -> str:
    """Times and ratios of each action, shares of what the GPU does at most, contracts, and what was not measured."""
    parts = []
    for action in result["actions"]:
        rows = [row for row in of_action(result, action) if row["family"] != "machine"]
        if rows:
            rows += best(rows)
            compared = [row for row in rows if row["family"] != "full" or row["contender"] == BEST]
            parts += [f"**{action}**: time, 8 heads of 64, causal, bfloat16", by_length(rows, time_of)]
            parts += [f"**{action}**: how many times as long as ours, at as many rounds", ratios(compared)]
    parts += shares(result)
    missing = [_missing(row) for row in result["rows"] if "error" in row or "skipped" in row]
    if missing:
        parts += ["Not measured:", "\n".join(missing)]
    return "\n\n".join([*parts, "Seen before timing:", contracts(result)])


def best(rows: list[Row]) -> list[Row]:
    """At each length the fastest of torch's kernels for full attention."""
    full = sorted((row for row in rows if row["family"] == "full"), key=lambda row: -row["median_seconds"])
    fastest = {row["length"]: row | {"contender": BEST} for row in full}
    return [fastest[length] for length in sorted(fastest)]


def shares(result: Result) -> list[str]:
    """Shares of what the GPU copies and multiplies at most, from the counted bytes and operations of ours."""
    machine = {row["action"]: row for row in in_order(result) if row["family"] == "machine"}
    if machine.keys() != {"product", "copy"}:
        return []
    bytes_, flops = (
        machine[action]["facts"][fact] / machine[action]["median_seconds"]
        for action, fact in (("copy", "bytes"), ("product", "flops"))
    )
    lines = []
    for row in measured(result["rows"]):
        if row["family"] == "ours":
            work = attention(Shape(), row["rounds"], with_backward=row["action"] == BOTH) * row["length"]
            at_most = (work.once / bytes_, work.asked / bytes_, work.operations / flops)
            name = f"{row['contender']}, {row['action']}, {short(row['length'])}"
            lines.append([name, *(f"{seconds / row['median_seconds']:.0%}" for seconds in at_most)])
    head = ["", "memory, every row once", "memory, as tiles of 64 ask", "products"]
    return [
        "Shares of what the GPU copies and multiplies at most, from the counted bytes and operations",
        grid(head, lines),
    ]


def _missing(row: Row) -> str:
    why = str(row.get("error") or row.get("skipped")).strip().splitlines()[-1]
    return f"- {row['contender']} at {short(row['length'])}, {row['action']}: {why}"


def gpu_training_step(result: Result) -> str:
    cells: dict[str, Cell] = {
        "a training step on one sequence of": lambda row: short(row["length"]),
        "time": lambda row: duration(row["median_seconds"]),
        "tokens a second": lambda row: f"{row['length'] / row['median_seconds']:,.0f}",
        "peak memory": lambda row: size(row["peak_bytes"]),
    }
    return columns(in_order(result), cells)


def gpu_streaming(result: Result) -> str:
    return "\n\n".join(
        f"{row['length']:,} tokens read in {duration(row['facts']['reading_seconds'])}, "
        f"{row['length'] / row['facts']['reading_seconds']:,.0f} a second, with a state of "
        f"{row['facts']['state_bytes']:,} bytes."
        for row in in_order(result)
    )
