"""The tables of memory and time against depth, length and what was read before, each from the results of one case."""

from typing import Any

from benchmarks.markdown import Cell, grid
from benchmarks.table import Row, duration, in_order, short, size, times

Result = dict[str, Any]

STATE_BYTES = 16
"""Of a parameter in training: itself, its gradient and the two moments of AdamW, in float32."""


def growth(result: Result) -> str:
    """Peak memory and time of a training step; why, where there is none; and what a layer adds if layers vary."""
    parts = [
        by_size(result, lambda row: size(row["peak_bytes"]), "peak memory"),
        by_size(result, lambda row: duration(row["median_seconds"]), "time of a step"),
    ]
    told = [*_a_layer(result)] if result["axis"] == "layers" else []
    left_out = [f"- {row['contender']}, {short(row['length'])}: {row['skipped']}." for row in _left_out(result)]
    return "\n\n".join([*parts, *filter(None, ["\n".join(told), "\n".join(left_out)])])


def by_size(result: Result, cell: Cell, first: str) -> str:
    """Contenders down, sizes across; a dash where one was left out."""
    rows = in_order(result)
    sizes = sorted({row["length"] for row in result["rows"]})
    found = {(row["contender"], row["length"]): cell(row) for row in rows}
    found |= {(row["contender"], row["length"]): "-" for row in _left_out(result)}
    lines = [[name, *(found.get((name, at), "") for at in sizes)] for name in result["contracts"]]
    return grid([first, *map(short, sizes)], [line for line in lines if any(line[1:])])


def _left_out(result: Result) -> list[Row]:
    return [row for row in result["rows"] if "skipped" in row]


def _a_layer(result: Result) -> list[str]:
    """What each layer adds to the memory, and how much of it is more than its parameters' share."""
    told = []
    for name in result["contracts"]:
        rows = [row for row in in_order(result) if row["contender"] == name and row["length"] >= 6]
        if len(rows) < 2:
            continue
        few, many = rows[0], rows[-1]
        layers = many["length"] - few["length"]
        grown = (many["peak_bytes"] - few["peak_bytes"]) / layers
        parameters = STATE_BYTES * (many["facts"]["parameters"] - few["facts"]["parameters"]) / layers
        told.append(
            f"- {name}, {few['length']} to {many['length']} layers: {_megabytes(grown)} a layer, of which "
            f"{_megabytes(parameters)} are parameters, gradients and optimizer: {_megabytes(grown - parameters)} "
            "beyond."
        )
    return told


def _megabytes(count: float) -> str:
    return f"{count / 2**20:.1f} MB"


def million(result: Result) -> str:
    rows = in_order(result)
    parts = [
        by_size(result, lambda row: size(row["peak_bytes"]), "peak memory"),
        by_size(result, lambda row: duration(row["median_seconds"]), "time of a step"),
        by_size(result, lambda row: f"{row['median_seconds'] / row['length'] * 1e6:.1f} us", "time per token"),
    ]
    told = []
    for name in result["contracts"]:
        mine = [row for row in rows if row["contender"] == name]
        if mine:
            one, all_ = mine[0], mine[-1]
            ratio = all_["median_seconds"] / all_["length"] * one["length"] / one["median_seconds"]
            told.append(
                f"- {name}: a token of {short(all_['length'])} takes {times(ratio)} one of {short(one['length'])}."
            )
    return "\n\n".join([*parts, "\n".join(told)])


def decoding(result: Result) -> str:
    def token(row: Row) -> float:
        return row["median_seconds"] / row["facts"]["tokens"]

    told = []
    for name in result["contracts"]:
        mine = [row for row in in_order(result) if row["contender"] == name]
        if len(mine) > 1:
            first, last = mine[0], mine[-1]
            told.append(
                f"- {name}: after {short(last['length'])} tokens {times(token(last) / token(first))} the time that it "
                f"takes after {short(first['length'])}."
            )
    return "\n\n".join(
        [
            by_size(result, lambda row: duration(token(row)), "time of a new token"),
            by_size(result, lambda row: size(row["facts"]["cache_bytes"]), "cache"),
            "\n".join(told),
        ]
    )


def streaming(result: Result) -> str:
    rows = in_order(result)
    lines = [
        [
            short(row["length"]),
            duration(row["median_seconds"]),
            f"{row['length'] / row['median_seconds']:,.0f}",
            f"{row['facts']['state_bytes']:,}",
            f"{row['facts']['process_bytes'] / 2**20:.1f} MB",
        ]
        for row in rows
    ]
    last = rows[-1]
    billion = duration(1e9 / last["length"] * last["median_seconds"])
    least, most = (function(row["facts"]["process_bytes"] for row in rows) for function in (min, max))
    slow, fast = (function(row["length"] / row["median_seconds"] for row in rows) for function in (min, max))
    return "\n\n".join(
        [
            grid(["tokens read", "time", "tokens a second", "bytes of state", "peak memory of the process"], lines),
            f"Memory differs by {most / least - 1:.1%} between these, speed by {fast / slow - 1:.0%}. At the last's "
            f"speed 10^9 tokens take {billion}.",
        ]
    )


def pieces(result: Result) -> str:
    lines = [
        [
            short(row["length"]),
            f"{row['facts']['tokens']:,}",
            f"{row['facts']['difference']:.1e}",
            f"{row['facts']['above']:,}",
            duration(row["median_seconds"]),
        ]
        for row in in_order(result)
    ]
    return grid(["tokens a piece", "tokens", "greatest difference", "tokens above 1e-4", "time of both"], lines)
