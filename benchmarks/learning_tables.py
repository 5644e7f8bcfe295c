"""The tables of what was learned, each from the results of one case."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from benchmarks.markdown import Cell, Result, by_length, columns, grid
from benchmarks.table import OURS, Row, duration, in_order, short, size

PAPER: dict[str, dict[str, float]] = {
    "full": {"full": 100, "LSH-8": 94.8, "LSH-4": 92.5, "LSH-2": 76.9, "LSH-1": 52.5},
    "LSH-4": {"full": 0.8, "LSH-8": 100, "LSH-4": 99.9, "LSH-2": 99.4, "LSH-1": 91.9},
    "LSH-2": {"full": 0.8, "LSH-8": 100, "LSH-4": 99.9, "LSH-2": 98.1, "LSH-1": 86.8},
    "LSH-1": {"full": 0.8, "LSH-8": 99.9, "LSH-4": 99.6, "LSH-2": 94.8, "LSH-1": 77.9},
}
"""Table 2 of Kitaev et al. 2020: accuracy in %, trained with (down) and evaluated with (across)."""


def duplication(result: Result) -> str:
    parts = []
    for length in sorted({row["length"] for row in in_order(result)}):
        rows = [row for row in in_order(result) if row["length"] == length]
        cells: dict[str, Cell] = {f"{short(length)} tokens: trained with": lambda row: row["contender"]}
        cells |= {kind: partial(_beside_the_paper, kind) for kind in PAPER["full"]}
        cells |= {"steps": lambda row: f"{row['facts']['steps']:,}", "training": _training}
        below = [
            f"{row['contender']} with {kind}"
            for row in rows
            for kind, figure in PAPER[row["contender"]].items()
            # To the digit that the paper gives.
            if round(100 * row["facts"][kind], 1) < figure
        ]
        told = "Every cell is at or above the paper's." if not below else f"Below the paper's: {', '.join(below)}."
        parts += [columns(rows, cells), told]
    return "\n\n".join(parts)


def _beside_the_paper(kind: str, row: Row) -> str:
    return f"{_percent(row['facts'][kind])} ({PAPER[row['contender']][kind]:g})"


def _training(row: Row) -> str:
    return duration(row["facts"]["training_seconds"])


def synthetic(result: Result) -> str:
    rows = in_order(result)
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    found = {(row["task"], row["kind"]): row for row in rows}
    lines = [
        [task, *(_learned(found[task, kind]) if (task, kind) in found else "" for kind in kinds)]
        for task in dict.fromkeys(row["task"] for row in rows)
    ]
    seconds = [["training, mean", *(duration(_mean([row for row in rows if row["kind"] == kind])) for kind in kinds)]]
    return grid(["accuracy in %", *kinds], lines + seconds)


def _learned(row: dict[str, Any]) -> str:
    """The accuracy; where the sequences in training did not become as long as those asked for, how long they were."""
    facts = row["facts"]
    short_of_it = facts["trained_length"] < row["length"]
    return _percent(facts["accuracy"]) + f" (trained to {short(facts['trained_length'])})" * short_of_it


def copy_reverse(result: Result) -> str:
    cells: dict[str, Cell] = {
        "encoder": lambda row: row["contender"],
        "tokens": lambda row: short(row["length"]),
        "accuracy in %": lambda row: _percent(row["facts"]["accuracy"]),
        "written alone, in %": lambda row: _percent(row["facts"]["written"]),
        "steps": lambda row: f"{row['facts']['steps']:,}",
        "CPU time": lambda row: duration(row["cpu_seconds"]),
    }
    return columns(in_order(result), cells)


def translation(result: Result) -> str:
    rows = in_order(result)
    cells: dict[str, Cell] = {
        "model": lambda row: row["contender"],
        "BLEU": lambda row: f"{row['facts']['bleu']:.2f}",
        "chrF": lambda row: f"{row['facts']['chrf']:.2f}",
        "weights": lambda row: f"{row['facts']['weights']:,}",
        "steps": lambda row: f"{row['facts']['steps']:,}",
        "test pairs": lambda row: f"{row['facts']['pairs']:,}",
        "training": _training,
    }
    bleu = {row["contender"]: row["facts"]["bleu"] for row in rows}
    if len(bleu) < 2:
        return columns(rows, cells)
    (ours, mine), (other, theirs) = bleu.items()
    return f"{columns(rows, cells)}\n\n{ours} against {other}: {mine - theirs:+.2f} BLEU."


def options(result: Result) -> str:
    """The cost of each option over all off, and what it gives, with the spread of the seeds."""
    rows = in_order(result)
    steps = [row for row in rows if row["action"] == "step"]
    trained = {row["contender"]: row["facts"] for row in rows if row["action"] == "train"}
    off = next(row for row in steps if row["family"] == OURS)

    def seeds_apart(row: Row) -> str:
        seeds = [value for key, value in trained[row["contender"]].items() if key.startswith("bits of seed")]
        return f"{max(seeds) - min(seeds):.3f}"

    def learned(cell: Cell) -> Cell:
        return lambda row: cell(row) if row["contender"] in trained else ""

    cells: dict[str, Cell] = {
        "": lambda row: row["contender"],
        "weights": lambda row: f"{row['facts']['parameters']:,}",
        "step, CPU time": lambda row: duration(row["cpu_seconds"]),
        "over all off": lambda row: f"{row['cpu_seconds'] / off['cpu_seconds']:.2f}",
        "bits a byte": learned(lambda row: f"{trained[row['contender']]['bits']:.3f}"),
        "seeds apart": learned(seeds_apart),
    }
    return columns(steps, cells)


def _mean(rows: list[dict[str, Any]]) -> float:
    return sum(row["facts"]["training_seconds"] for row in rows) / len(rows)


MEASURES = {
    "bits": "all",
    **{f"bits of quarter {quarter}": f"quarter {quarter} of the sequence" for quarter in range(1, 5)},
    "bits of new": "context not read before",
    "bits of near": "context last read less than 512 back",
    "bits of far": "context last read 512 or more back",
}


def byte_lm(result: Result) -> str:
    rows = in_order(result)
    facts = {row["contender"]: row["facts"] for row in rows}
    lines = [
        [told, *(f"{each[measure]:.4f}" if measure in each else "" for each in facts.values())]
        for measure, told in MEASURES.items()
    ]
    lines.append(["training", *(duration(each["training_seconds"]) for each in facts.values())])
    parts = [grid(["bits per byte", *facts], lines)]
    if {"full", "local", "local+lsh"} <= facts.keys():
        both = facts["local+lsh"]
        parts.append(
            "\n".join(
                f"- local+lsh against {other}: {both['bits'] / facts[other]['bits'] - 1:+.2%} of all, "
                f"{both['bits of far'] / facts[other]['bits of far'] - 1:+.2%} where the context was read far back."
                for other in ("full", "local")
            )
        )
    counts = rows[0]["facts"]
    parts.append(
        f"Of the bytes evaluated {counts['far bytes']:,} have their context far back, {counts['near bytes']:,} near, "
        f"{counts['new bytes']:,} nowhere before; {counts['tokens']:,} bytes were trained on."
    )
    return "\n\n".join(parts)


def forecasting(result: Result) -> str:
    rows = in_order(result)
    found = {(row["model"], row["series"]): row["facts"] for row in rows}
    series, models = (list(dict.fromkeys(row[key] for row in rows)) for key in ("series", "model"))
    parts = []
    for measure, digits in (("mase", 3), ("mae", 2)):
        lines = [
            [model, *(f"{found[model, name][measure]:.{digits}f}" if (model, name) in found else "" for name in series)]
            for model in models
        ]
        parts.append(grid([measure.upper(), *series], lines))
    ours = models[-2]
    for other in models:
        won = [name for name in series if found[ours, name]["mase"] < found[other, name]["mase"]]
        if other != ours:
            parts.append(f"- {ours} is ahead of {other} on {len(won)} of {len(series)}: {', '.join(won) or 'none'}.")
    return "\n\n".join(parts[:2]) + "\n\n" + "\n".join(parts[2:])


def fine_tuning(result: Result) -> str:
    rows = {(row["data"], row["way"], row["action"]): row for row in in_order(result)}
    facts = {key: row["facts"] for key, row in rows.items()}
    paper, reviews = "people-daily", "chinese-reviews"
    trained = {way: each for (data, way, action), each in facts.items() if (data, action) == (paper, "train")}

    def other(data: str, action: str, told: Cell) -> Cell:
        """A cell from another row of the same way, if there is one."""
        return lambda row: told(rows[data, row["way"], action]) if (data, row["way"], action) in rows else ""

    cells: dict[str, Cell] = {
        "way": lambda row: row["way"],
        "newspaper F1": lambda row: f"{row['facts']['score']:.4f}",
        "reviews accuracy": other(reviews, "train", lambda row: f"{row['facts']['score']:.4f}"),
        "CPU time of a step": other(paper, "step", lambda row: duration(row["facts"]["step"])),
        "memory": other(paper, "step", lambda row: size(row["peak_bytes"])),
        "weights": lambda row: f"{row['facts']['weights']:,}",
        "that learn": lambda row: f"{row['facts']['learned']:,}",
        "file": lambda row: f"{row['facts']['bytes'] / 1e6:.2f} MB",
    }
    table = columns((rows[paper, way, "train"] for way in trained), cells)
    found = []
    if (paper, "backward", "step") in facts:
        timed = facts[paper, "backward", "step"]
        whole, frozen, upper = (timed[f"{way} backward"] for way in ("whole", "frozen", "upper"))
        part = (frozen - upper) / (whole - upper)
        found.append(
            f"- A backward pass takes {duration(whole)}, with embeddings and three of six layers frozen "
            f"{duration(frozen)}, {frozen / whole:.2f} of it; what is frozen costs {part:.2f} of what it cost, against "
            "a model of the upper three layers alone."
        )
    if {"start", "whole", "trimmed"} <= trained.keys():
        lost = {way: 100 * (trained["trimmed"]["score"] - trained[way]["score"]) for way in ("start", "whole")}
        kept = ", ".join(map(str, trained["trimmed"]["kept"]))
        found.append(
            f"- Four of six layers ({kept}) have {lost['start']:+.1f} points of F1 against the start, and "
            f"{lost['whole']:+.1f} against all six after the same fine-tuning."
        )
    if {"whole", "shared"} <= trained.keys():
        part = trained["shared"]["weights"] / trained["whole"]["weights"]
        found.append(f"- Six layers on two layers' weights: {part:.2f} of the model's weights.")
    return table + "\n\n" + "\n".join(found)


def seen_weight(result: Result) -> str:
    """The share of full attention's weight that each sight sees, by layer."""
    rows = in_order(result)
    layers = range(len(rows[0]["facts"]["by_layer"]))
    cells: dict[str, Cell] = {
        "seen": lambda row: row["contender"],
        "keys": lambda row: f"{row['facts']['keys']:.0f}",
        "weight": lambda row: f"{row['facts']['share']:.3f}",
        **{f"layer {layer}": partial(_layer, layer) for layer in layers},
    }
    return columns(rows, cells)


def _layer(layer: int, row: Row) -> str:
    return f"{row['facts']['by_layer'][layer]:.2f}"


def reading(result: Result) -> str:
    """Scores of each manner of reading; time and memory of one text by its length; what is said for and against."""
    rows = [row for row in in_order(result) if row["action"] != "train"]
    score = {row["contender"]: row for row in rows if row["action"] == "score"}
    parts = []
    for family, measures in READING.items():
        cells: dict[str, Cell] = {
            family: lambda row: row["manner"],
            "learned": lambda row: "in this manner" if row["learned"] else "in short documents",
            **{told: partial(_fact, name) for name, told in measures.items()},
            "time": lambda row: duration(row["median_seconds"]),
            "memory": lambda row: size(row["peak_bytes"]),
        }
        measured = [row for row in score.values() if row["family"] == family]
        parts.append(columns(measured, cells) if measured else f"*{family}* is not measured yet.")
    read = [row | {"contender": row["manner"]} for row in rows if row["action"] == "read"]
    parts.append(by_length(read, lambda row: duration(row["median_seconds"]), "one text, time"))
    parts.append(by_length(read, lambda row: size(row["peak_bytes"]), "one text, memory"))
    return "\n\n".join([*parts, "\n".join(_does_length_pay(score, read))])


READING = {
    "entities": {"f1": "F1", "short f1": "F1, short", "short recall": "recall, short", "consistent": "alike"},
    "evidence at the end": {"accuracy": "accuracy"},
}
"""What is told of each family of the case `reading`, and the head of its column."""


def _fact(name: str, row: Row) -> str:
    return f"{row['facts'][name]:.4f}"


def _does_length_pay(score: dict[str, Row], read: list[Row]) -> Iterator[str]:
    """Differences of the scores and ratios of the times, for those manners that were measured."""
    for family, measures in READING.items():
        for end, weights in (("", "weights from short documents"), (", learned", "each with weights that learned so")):
            for pair, told in AGAINST.items():
                names = [f"{family}: {manner}{end}" for manner in pair]
                if score.keys() >= set(names):
                    mine, other = (score[name]["facts"] for name in names)
                    gains = ", ".join(f"{mine[name] - other[name]:+.4f} {head}" for name, head in measures.items())
                    yield f"- {told}, {family}, {weights}: {gains}."
    seconds = {(row["manner"], row["length"]): row["median_seconds"] for row in read}
    for length in sorted({length for _, length in seconds}):
        if {("windows", length), ("full attention", length)} <= seconds.keys():
            part = seconds["windows", length] / seconds["full attention", length]
            yield f"- Windows take {part:.2f} of the time of full attention on a text of {short(length)} tokens."


AGAINST = {
    ("windows", "full attention"): "Windows against full attention",
    ("windows", "sliding pieces"): "Windows against sliding pieces, the usual way",
    ("full attention", "sliding pieces"): "Full attention over whole documents against sliding pieces",
    ("windows and hashes", "windows"): "Windows and hashes against windows alone",
}
"""Pairs of manners that answer whether length pays, and what their comparison is called."""


def _percent(part: float) -> str:
    return f"{100 * part:.1f}"
