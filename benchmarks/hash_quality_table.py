"""The tables of the case `hash-quality`: scores by what a token sees and by length, and what hashing adds."""

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.markdown import Result, grid
from benchmarks.table import duration, in_order, short

MEASURES: dict[str, tuple[str, str, Callable[[float], str]]] = {
    "copy": ("accuracy in %", "accuracy", lambda value: f"{100 * value:.1f}"),
    "needle": ("accuracy in %", "accuracy", lambda value: f"{100 * value:.1f}"),
    "labelling": ("F1 of entities", "f1", lambda value: f"{value:.4f}"),
    "language modelling": ("bits a byte", "bits", lambda value: f"{value:.4f}"),
}
"""What is told of each task: its head, the name of the score, and how that is written."""

Kinds = dict[str, dict[str, Any]]
"""Facts by what a token sees."""

HASHED, AS_MANY_KEYS = "local+lsh, 2 rounds", "local, three times as wide"


def hash_quality(result: Result) -> str:
    """A table for each task, and a line for each length on what hashing adds to a window of as many keys."""
    parts = []
    rows = in_order(result)
    for task in dict.fromkeys(row["task"] for row in rows):
        found = {row["kind"]: row["facts"] for row in rows if row["task"] == task}
        parts += [f"### {task.capitalize()}", _grid(task, found)]
        if {HASHED, AS_MANY_KEYS} <= found.keys():
            parts.append("\n".join(_added(task, found)))
    return "\n\n".join(parts)


def _grid(task: str, kinds: Kinds) -> str:
    head, name, written = MEASURES[task]
    lengths = next(iter(kinds.values()))["lengths"]
    lines = [
        [
            kind,
            *(_cell(score, name, length, written) for score, length in zip(facts["scores"], lengths, strict=True)),
            f"{facts['tokens']:,}",
            duration(facts["training_seconds"]),
        ]
        for kind, facts in kinds.items()
    ]
    return grid([head, *map(short, lengths), "tokens trained on", "training"], lines)


def _cell(score: dict[str, Any], name: str, length: int, written: Callable[[float], str]) -> str:
    """The score; where the sequences in training did not become as long, how long they were."""
    trained = score["trained_length"]
    return written(score[name]) + f" (trained to {short(trained)})" * (trained < length)


def _added(task: str, kinds: Kinds) -> Iterator[str]:
    _, name, written = MEASURES[task]
    hashed, window = kinds[HASHED], kinds[AS_MANY_KEYS]
    for length, with_hashes, without in zip(hashed["lengths"], hashed["scores"], window["scores"], strict=True):
        change = with_hashes[name] - without[name]
        sign = "+" if change >= 0 else "-"
        yield f"- {short(length)} tokens: {HASHED} against {AS_MANY_KEYS}: {sign}{written(abs(change))}."
