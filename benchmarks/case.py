"""A benchmark case, its contenders, and the actions of each that are timed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Facts = Mapping[str, Any]

NO_LIMIT = 1 << 62
"""Of a length."""


class ContractError(Exception):
    """A contender does not compute what it should, so its time means nothing."""


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Action:
    """A function to time.

    Args:
        run: is given what `prepare` returned, may be called again with the same, and may return facts to keep.
        prepare: runs before the clock starts.
        facts: known before, such as the number of floating point operations.
    """

    run: Callable[[Any], Facts | None]
    prepare: Callable[[], Any] = _nothing
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True)
class Contender:
    """One implementation with its settings.

    Args:
        name: unique in its case, as it stands in tables.
        family: what `--only` chooses by.
        build: a length to the actions by name; inputs are random, from one seed.
        check: the contract at a small size; returns a report, raises `ContractError`.
        options: settings that set it apart in its case, such as `rounds`.
        longest: the greatest length it is measured at, for all actions or by action.
        environment: variables that its process starts with.
    """

    name: str
    family: str
    build: Callable[[int], dict[str, Action]]
    check: Callable[[], str]
    options: Facts = field(default_factory=dict)
    longest: int | Mapping[str, int] = NO_LIMIT
    environment: Mapping[str, str] = field(default_factory=dict)

    def reaches(self, length: int, action: str) -> bool:
        longest = self.longest if isinstance(self.longest, int) else self.longest.get(action, NO_LIMIT)
        return length <= longest


@dataclass(frozen=True)
class Case:
    """A question, and the contenders that are measured to answer it.

    Args:
        question: what the numbers tell, in a sentence.
        actions: the names of the actions in the order they are measured, the lightest on memory first. Without any
            the case is its contenders' contracts.
        lengths, quick_lengths: of the sequences, in full and for `--quick`.
        axis: the unit of the lengths, where it is not tokens.
        warm_up: the length at which every action runs once before anything is measured; None for not at all.
        alone: too long to be among `--all`; measured when it is named.
        apart: one contender at a time, each length in a fresh process: for what needs most of the memory or hours.
            What would not fit by what the lengths before it took is not run, and the results say so.
        grows: more along the axis takes at least as much memory and time.
        turns: the most turns of each action.
        device: the device that the case is about, "cpu" or "cuda".
        limit: the most seconds that a contender may take to answer once, building and compiling included.
        requires: the case whose contracts must hold before anything of this one is measured.
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
    device: str = "cpu"
    limit: float = float("inf")
    requires: str | None = None

    def contender(self, name: str) -> Contender:
        return next(contender for contender in self.contenders if contender.name == name)
