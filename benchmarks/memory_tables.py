"""The tables of memory and time against depth, length and what was read before, each from the results of one case."""

from benchmarks.markdown import Cell, Result, by_length, columns, of_contender
from benchmarks.table import Row, duration, in_order, short, size, times

STATE_BYTES = 16
"""Of a parameter in training: itself, its gradient and the two moments of AdamW, in float32."""


def growth(result: Result) -> str:
    """Peak memory and time of a training step; why, where there is none; and what a layer adds if layers vary."""
    told = _a_layer(result) if result["axis"] == "layers" else []
    left_out = [f"- {row['contender']}, {short(row['length'])}: {row['skipped']}." for row in _left_out(result)]
    return "\n\n".join(filter(None, [*_memory_and_time(result), "\n".join(told), "\n".join(left_out)]))


def by_size(result: Result, cell: Cell, first: str) -> str:
    """Contenders down, in the order of the case, sizes across."""
    names = list(result["contracts"])
    rows = [*in_order(result), *_left_out(result)]
    return by_length(sorted(rows, key=lambda row: names.index(row["contender"])), cell, first)


def _memory_and_time(result: Result) -> list[str]:
    return [
        by_size(result, lambda row: size(row["peak_bytes"]), "peak memory"),
        by_size(result, lambda row: duration(row["median_seconds"]), "time of a step"),
    ]


def _left_out(result: Result) -> list[Row]:
    return [row for row in result["rows"] if "skipped" in row]


def _a_layer(result: Result) -> list[str]:
    """The memory that each layer adds, and the part of it beyond its parameters' share."""
    told = []
    for name in result["contracts"]:
        rows = [row for row in of_contender(result, name) if row["length"] >= 6]
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
    told = []
    for name in result["contracts"]:
        mine = of_contender(result, name)
        if mine:
            one, last = mine[0], mine[-1]
            ratio = last["median_seconds"] / last["length"] * one["length"] / one["median_seconds"]
            told.append(
                f"- {name}: a token of {short(last['length'])} takes {times(ratio)} one of {short(one['length'])}."
            )
    per_token = by_size(result, lambda row: f"{row['median_seconds'] / row['length'] * 1e6:.1f} us", "time per token")
    return "\n\n".join([*_memory_and_time(result), per_token, "\n".join(told)])


def decoding(result: Result) -> str:
    def token(row: Row) -> float:
        return row["median_seconds"] / row["facts"]["tokens"]

    told = []
    for name in result["contracts"]:
        mine = of_contender(result, name)
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
    cells: dict[str, Cell] = {
        "tokens read": lambda row: short(row["length"]),
        "time": lambda row: duration(row["median_seconds"]),
        "tokens a second": lambda row: f"{row['length'] / row['median_seconds']:,.0f}",
        "bytes of state": lambda row: f"{row['facts']['state_bytes']:,}",
        "peak memory of the process": lambda row: _megabytes(row["facts"]["process_bytes"]),
    }
    billion = duration(1e9 / rows[-1]["length"] * rows[-1]["median_seconds"])
    held = [row["facts"]["process_bytes"] for row in rows]
    speeds = [row["length"] / row["median_seconds"] for row in rows]
    return (
        f"{columns(rows, cells)}\n\nMemory differs by {max(held) / min(held) - 1:.1%} between these, speed by "
        f"{max(speeds) / min(speeds) - 1:.0%}. At the last's speed 10^9 tokens take {billion}."
    )


def pieces(result: Result) -> str:
    cells: dict[str, Cell] = {
        "tokens a piece": lambda row: short(row["length"]),
        "tokens": lambda row: f"{row['facts']['tokens']:,}",
        "greatest difference": lambda row: f"{row['facts']['difference']:.1e}",
        "tokens above 1e-4": lambda row: f"{row['facts']['above']:,}",
        "time of both": lambda row: duration(row["median_seconds"]),
    }
    return columns(in_order(result), cells)
