"""The tables of attention and of training steps, each from the results of one case; what all tables are made of."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from benchmarks.table import OURS, Row, duration, in_order, short, size, speedups, times

Result = dict[str, Any]
Cell = Callable[[Row], str]


def grid(head: list[str], lines: Iterable[list[str]]) -> str:
    """A Markdown table: the first column to the left, numbers to the right."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines])


def columns(rows: Iterable[Row], cells: Mapping[str, Cell]) -> str:
    """A row each, a cell for each head."""
    return grid(list(cells), ([cell(row) for cell in cells.values()] for row in rows))


def by_length(rows: list[Row], cell: Cell, first: str = "") -> str:
    """Contenders down, lengths across; a dash where one was left out, empty where one was not measured."""
    lengths = sorted({row["length"] for row in rows})
    names = list(dict.fromkeys(row["contender"] for row in rows))
    found = {(row["contender"], row["length"]): "-" if "skipped" in row else cell(row) for row in rows}
    lines = [[name, *(found.get((name, length), "") for length in lengths)] for name in names]
    return grid([first, *map(short, lengths)], lines)


def of_action(result: Result, action: str) -> list[Row]:
    return [row for row in in_order(result) if row["action"] == action]


def of_contender(result: Result, name: str) -> list[Row]:
    return [row for row in in_order(result) if row["contender"] == name]


def ratios(rows: list[Row], of: Callable[[Row], float] = lambda row: row["median_seconds"], less: str = "time") -> str:
    """Others over ours, at equal rounds where both have them."""
    lengths = sorted({row["length"] for row in rows})
    found: dict[str, dict[int, str]] = {}
    for row in rows:
        for mine in rows:
            if mine["family"] == OURS and _comparable(mine, row):
                name = f"{row['contender']} / {mine['contender']}"
                found.setdefault(name, {})[row["length"]] = times(of(row) / of(mine))
    lines = [[name, *(cells.get(length, "") for length in lengths)] for name, cells in found.items()]
    return grid([f"{less}, theirs / ours", *map(short, lengths)], lines)


def _comparable(mine: Row, other: Row) -> bool:
    return any(name == mine["contender"] for name, _ in speedups(other, [mine]))


def attention(result: Result) -> str:
    parts = []
    for action in result["actions"]:
        rows = of_action(result, action)
        parts += [
            f"**{action}**: time",
            by_length(rows, time_of),
            f"**{action}**: how many times as long as ours, at as many rounds",
            ratios(rows),
            f"**{action}**: peak memory over the bare process, inputs included",
            by_length(rows, lambda row: size(row["peak_bytes"])),
        ]
    return "\n\n".join(parts)


def time_of(row: Row) -> str:
    once = "" if row["warm"] or row["turns"] > 1 else " *"
    return duration(row["median_seconds"]) + once


def times_only(result: Result) -> str:
    parts = []
    for action in result["actions"]:
        rows = of_action(result, action)
        parts += [by_length(rows, time_of, action), ratios(rows)]
    return "\n\n".join(parts)


def threads(result: Result) -> str:
    """Tokens a second by what runs beside, and as a multiple of one thread's with nothing beside."""
    rows = in_order(result)
    lines = []
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        alone = next(_speed(row) for row in mine if row["threads"] == 1 and row["beside"] == "nothing")
        for beside in dict.fromkeys(row["beside"] for row in mine):
            cells = [f"{_speed(row):,.0f} ({_speed(row) / alone:.2f})" for row in mine if row["beside"] == beside]
            lines.append([f"{model}, {beside}", *cells])
    return grid(["tokens a second: model, beside", "one thread", "two share operations", "two share the batch"], lines)


def _speed(row: Row) -> float:
    return row["facts"]["tokens"] / row["median_seconds"]


def crossover(result: Result) -> str:
    parts = [times_only(result)]
    for action in result["actions"]:
        rows = of_action(result, action)
        for name in dict.fromkeys(row["contender"] for row in rows if row["family"] == OURS):
            faster = faster_from(rows, name)
            told = "at none of these lengths" if faster is None else f"from {short(faster)} tokens on"
            parts.append(f"- {action}, {name}: faster than full attention {told}.")
    return "\n\n".join(parts[:1]) + "\n\n" + "\n".join(parts[1:])


def faster_from(rows: list[Row], name: str) -> int | None:
    """The least measured length from which on the contender beats full attention at every measured length."""
    full = {row["length"]: row["median_seconds"] for row in rows if row["family"] == "full"}
    mine = {row["length"]: row["median_seconds"] for row in rows if row["contender"] == name}
    found = None
    for length in sorted(full.keys() & mine.keys(), reverse=True):
        if mine[length] >= full[length]:
            break
        found = length
    return found


def rate(row: Row, count: str = "flops") -> float:
    """Floating point operations a second."""
    return row["facts"][count] / row["median_seconds"]


def peaks(result: Result, length: int | None = None) -> dict[tuple[str, str], float]:
    """The best rate of each kind of product (`mm`, `bmm`) in each dtype, in the run itself."""
    found: dict[tuple[str, str], float] = {}
    for row in in_order(result):
        if row["action"] == "product" and length in (None, row["length"]):
            kind = row["contender"].split()[0].removeprefix("torch.")
            best = max(rate(row), found.get((kind, row["dtype"]), 0.0))
            found[kind, row["dtype"]] = best
    return found


def hashing(result: Result) -> str:
    rows = [row for row in in_order(result) if row["action"] != "product"]
    named = [row | {"contender": f"{row['contender']}: {row['action']}"} for row in rows]
    named.sort(key=lambda row: [each["contender"] for each in rows].index(row["contender"].split(": ")[0]))
    return "\n\n".join([by_length(named, time_of, "time"), rates(result)])


def rates(result: Result) -> str:
    """Each attention's rate, and its share of the products' rates that were measured beside it."""
    lines = []
    for row in in_order(result):
        if "flops" in row["facts"] and row["action"] != "product":
            best, mine, pairs = peaks(result, row["length"]), rate(row), rate(row, "pair_flops")
            shares = (f"{mine / best[kind, row['dtype']]:.0%}" for kind in ("bmm", "mm"))
            name = f"{row['contender']}: {row['action']}"
            lines.append([name, short(row["length"]), f"{mine / 1e9:.0f}", f"{pairs / 1e9:.0f}", *shares])
    for (kind, dtype), best in peaks(result).items():
        lines.append([f"torch.{kind}, {dtype}", "", f"{best / 1e9:.0f}", "", "", ""])
    return grid(["", "length", "GFLOP/s", "of seen pairs alone", "of `bmm`", "of `mm`"], lines)


def bfloat16(result: Result) -> str:
    parts = []
    for action in ("forward", "attend"):
        rows = of_action(result, action)
        exact, half = (
            {row["length"]: row["median_seconds"] for row in rows if row["dtype"] == dtype}
            for dtype in ("float32", "bfloat16")
        )
        both = sorted(exact.keys() & half.keys())
        told = ", ".join(f"{short(length)} {times(exact[length] / half[length])}" for length in both)
        parts += [by_length(rows, time_of, action), f"bfloat16 is faster by: {told}."]
    return "\n\n".join([*parts, rates(result)])


def scaling(result: Result) -> str:
    parts = []
    for action in result["actions"]:
        rows = of_action(result, action)
        parts.append(by_length(rows, lambda row: f"{per_token(row) * 1e9:.0f} ns", f"{action}, per token"))
        for name in dict.fromkeys(row["contender"] for row in rows):
            mine = [row for row in rows if row["contender"] == name]
            growth = per_token(mine[-1]) / per_token(mine[0]) - 1
            span = f"{short(mine[0]['length'])} to {short(mine[-1]['length'])}"
            parts.append(f"{name}, {span}: {growth:+.0%} per token.")
    return "\n\n".join(parts)


def per_token(row: Row) -> float:
    return row["median_seconds"] / row["length"]


def training_step(result: Result) -> str:
    rows = in_order(result)
    return "\n\n".join(
        [
            by_length(rows, lambda row: f"{1 / per_token(row):,.0f}", "tokens a second"),
            ratios(rows),
            by_length(rows, lambda row: size(row["peak_bytes"]), "peak memory"),
            ratios(rows, lambda row: row["peak_bytes"], "peak memory"),
        ]
    )


def crf(result: Result) -> str:
    rows = {row["action"]: row for row in in_order(result)}
    train, label = rows["train"], rows["label"]
    facts = label["facts"]
    return (
        f"Strict micro-F1 **{facts['f1']:.4f}** (precision {facts['precision']:.4f}, recall {facts['recall']:.4f}) on "
        f"the {facts['entities']:,} entities of {facts['paragraphs']:,} test paragraphs; trained on "
        f"{train['facts']['paragraphs']:,} paragraphs with {train['facts']['characters']:,} characters in "
        f"{duration(train['median_seconds'])} on one core, in {size(train['peak_bytes'])}; it labels "
        f"{facts['characters'] / label['median_seconds']:,.0f} characters a second."
    )


def contracts(result: Result) -> str:
    return "\n".join(f"- {name}: {seen}." for name, seen in result["contracts"].items())


def machine(results: dict[str, Result]) -> str:
    """Where and when each case was measured."""
    lines, machines = [], []
    for case, result in results.items():
        made = result["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items() if version)
        told = (
            f"{made['processor']}, {made['cores']} cores, {made['threads']} threads, "
            f"{made['memory_bytes'] / 2**30:.0f} GB, {made['system']}; {_kernels(made)}; {versions}."
        )
        if told not in machines:
            machines.append(told)
        commit = made["commit"] or "unknown"
        short_commit = commit[:10] + ("+" if commit.endswith("+") else "")
        lines.append([case, f"`{made['command']}`", made["date"], short_commit, str(made["load_before"])])
    head = ["case", "command", "began (UTC)", "commit", "load before"]
    return "\n\n".join([*machines, grid(head, lines)])


def _kernels(made: dict[str, Any]) -> str:
    if "card" in made:
        return f"{made['card']}, driver {made['driver']}, CUDA {made['cuda']}"
    return f"kernels {made['backends']['cpu']}"
