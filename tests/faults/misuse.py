"""Misuse of every command and option: odd numbers, paths of the wrong kind, and texts that are none."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import typer

from reformer.cli import app
from tests.faults.commands import Workload

INPUTS = {
    name: name
    for name in (
        *("labels", "language", "forecasts", "test.conll", "train.conll", "text.txt", "more.txt", "series.csv"),
        *("labels.toml", "language.toml", "forecasts.toml"),
    )
} | {"junk.safetensors": "former.txt"}

USES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "labels.toml", "-o", "run", "--set", "training.max_steps=1"),
    "evaluate": ("evaluate", "labels", "test.conll"),
    "predict": ("predict", "forecasts", "series.csv"),
    "show": ("show", "labels", "test.conll"),
    "inspect": ("inspect", "labels", "test.conll", "--no-scores"),
    "generate": ("generate", "language", "the river", "--max-new-tokens", "4"),
    "score": ("score", "language", "text.txt"),
    "fetch": ("data", "fetch", "toy"),
}
"""Each command as it is right."""

INTEGERS = ("-1", "0", "1.5", "inf", "x", "", str(2**31), str(2**63), str(2**70))
NUMBERS = ("-1", "0", "inf", "-inf", "nan", "1e400", "x", "")
# A folder, a file below a file, a name that is too long, none, one with a zero in it, and content of another kind.
PATHS = ("labels", "text.txt/below", "n" * 300, "", "junk.safetensors", "missing/below")
TEXTS = ("", "\x1b[2J\u202e", "\udcff", "x" * 5000)
SEEDS = ("-1", "0.5", str(2**32), str(2**70), "nan", "x")


def misuses() -> Iterator[Workload]:
    """The commands, each with one thing wrong; some of these are right by chance."""
    for command, option, kind in _options(typer.main.get_command(app)):
        for value in _values(kind):
            yield Workload(command, (*USES[command], option, value), INPUTS)
    for command, use in USES.items():
        for place in range(1, 3 if use[2] in ("test.conll", "series.csv", "text.txt") else 2):
            for path in PATHS:
                yield Workload(command, (*use[:place], path, *use[place + 1 :]), INPUTS)
    for field, values in RECIPE.items():
        for value in values:
            yield Workload("train", (*USES["train"], "--set", f"{field}={value}"), INPUTS)


RECIPE = {
    "training.seed": SEEDS,
    # A great number of steps is a long run.
    "training.max_steps": INTEGERS[:6],
    **dict.fromkeys(("training.batch_tokens", "training.num_evaluations"), INTEGERS),
    **dict.fromkeys(("training.learning_rate", "training.max_minutes", "training.warmup_ratio"), NUMBERS),
    **dict.fromkeys(("data.train", "data.test", "tokenizer.kind"), PATHS),
    **dict.fromkeys(("model.hidden_size", "model.num_buckets", "model.local_window", "data.max_length"), INTEGERS),
}


def _options(group: Any) -> Iterator[tuple[str, str, Any]]:
    """Each command's options that take a value, and its type."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _options(command)
        elif name in USES:
            types = get_type_hints(command.callback)
            for option in command.params:
                if option.opts[0].startswith("-") and types[option.name] not in (bool, bool | None):
                    yield name, option.opts[0], types[option.name]


def _values(kind: Any) -> tuple[str, ...]:
    if kind in (int, int | None):
        return INTEGERS
    return NUMBERS if kind is float else PATHS if kind == Path | None else TEXTS
