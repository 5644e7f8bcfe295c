"""What a benchmark is made of: a case, its contenders, and the actions of each that are timed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Facts = Mapping[str, float | int | str]


class ContractError(Exception):
    """What was to be timed does not do what it should, so its time means nothing."""


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Action:
    """Something to time. `run` is given what `prepare` made outside the clock, and may return facts to keep."""

    run: Callable[[Any], Facts | None]
    prepare: Callable[[], Any] = _nothing
    facts: Facts = field(default_factory=dict)
    """What is known before, such as the number of floating point operations."""


@dataclass(frozen=True)
class Contender:
    """One implementation with its settings.

    Args:
        name: unique in its case, as it stands in tables.
        family: what `--only` chooses by.
        build: a length to the actions by name; inputs are random, from one seed.
        check: the contract at a small size; returns what was seen, raises `ContractError`.
        options: settings that set it apart in its case, such as `rounds`.
        longest: the greatest length it is measured at, for all actions or by action.
    """

    name: str
    family: str
    build: Callable[[int], dict[str, Action]]
    check: Callable[[], str]
    options: Facts = field(default_factory=dict)
    longest: int | Mapping[str, int] = 1 << 62

    def reaches(self, length: int, action: str) -> bool:
        if isinstance(self.longest, int):
            return length <= self.longest
        return length <= self.longest.get(action, 1 << 62)


@dataclass(frozen=True)
class Case:
    """A question, and who is measured to answer it.

    Args:
        question: what the numbers tell, in a sentence.
        actions: the names of the actions in the order they are measured, the lightest on memory first.
        lengths, quick_lengths: of the sequences, in full and for `--quick`.
        axis: what is counted by them, where it is not tokens.
        warm_up: at which length every action runs once before anything is measured; None for not at all.
        alone: too long to be among `--all`; measured when it is named.
        apart: one contender at a time, each length in a fresh process: for what needs most of the memory or hours.
            What would not fit by what the lengths before it took is not run, and the results say so.
        grows: what is counted along the axis takes at least as much memory and time as there is more of it.
        turns: the most turns of each action.
    """

    name: str
    question: str
    contenders: Sequence[Contender]
    actions: Sequence[str]
    lengths: Sequence[int]
    quick_lengths: Sequence[int]
    axis: str = "tokens"
    warm_up: int | None = 256
    alone: bool = False
    apart: bool = False
    grows: bool = True
    turns: int = 5

    def contender(self, name: str) -> Contender:
        return next(contender for contender in self.contenders if contender.name == name)
