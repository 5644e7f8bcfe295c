"""What is measured on a card, and at which lengths."""

from dataclasses import dataclass

from benchmarks.case import Contender
from benchmarks.contenders.language_models import million_model, training_step
from benchmarks.gpu.contenders import ACTIONS, BOTH, FORWARD, GRAPH, contenders

KILO, MILLION = 1 << 10, 1 << 20


@dataclass(frozen=True)
class Measured:
    """A contender, what of it, and where."""

    contender: Contender
    actions: tuple[str, ...]
    lengths: tuple[int, ...]


def op() -> list[Measured]:
    """One attention, everybody."""
    lengths = (4 * KILO, 16 * KILO, 64 * KILO, 256 * KILO, MILLION)
    in_a_graph = ("ours", "ours, 4 rounds", *(f"full attention, {name}" for name in ("flash", "cuDNN", "efficient")))
    return [Measured(each, ACTIONS if each.name in in_a_graph else (FORWARD, BOTH), lengths) for each in contenders()]


def train() -> list[Measured]:
    """A training step of the model of `recipes/enwik8-1m.toml` on one sequence, bfloat16."""
    step = training_step("ours, training step", "ours", million_model, bfloat16=True)
    return [Measured(step, ("step",), (64 * KILO, MILLION, 4 * MILLION))]


def find(name: str) -> Contender:
    """A contender of either part by its name."""
    return next(each.contender for each in (*op(), *train()) if each.contender.name == name)


__all__ = ["BOTH", "FORWARD", "GRAPH", "Measured", "find", "op", "train"]
