"""Contenders in processes of their own, measured in turns so that noise of the machine hits all alike."""

import multiprocessing
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import worker
from benchmarks.case import Case, Contender

# Imported once, in a process that every worker is a copy of. What is not installed is left out here and is missed
# by the contender that needs it.
PRELOADED = [
    "torch",
    "reformer.models",
    "transformers.models.reformer.modeling_reformer",
    "reformer_pytorch",
    "benchmarks.registry",
]

REST = 0.02
"""Seconds between turns, in which the threads of the last one go to sleep."""


@dataclass(frozen=True)
class Effort:
    """How long to measure one action of one contender."""

    turns: int = 5
    seconds: float = 12.0
    """No further turn is begun once the turns took this long together."""


@dataclass
class Row:
    """The measurements of one action of one contender at one length."""

    contender: Contender
    length: int
    action: str
    seconds: list[float] = field(default_factory=list)
    """The median of the calls of each turn."""
    cpu_seconds: list[float] = field(default_factory=list)
    calls: int = 0
    warm: bool = False
    spent: float = 0.0
    peak_bytes: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    def common(self) -> dict[str, Any]:
        """What was to be measured."""
        return {
            "contender": self.contender.name,
            "family": self.contender.family,
            **self.contender.options,
            "length": self.length,
            "action": self.action,
        }

    def record(self) -> dict[str, Any]:
        """As it stands in the results."""
        common = self.common()
        if self.error is not None:
            return common | {"error": self.error}
        return common | {
            "median_seconds": statistics.median(self.seconds),
            "seconds": self.seconds,
            "cpu_seconds": statistics.median(self.cpu_seconds),
            "turns": len(self.seconds),
            "calls": self.calls,
            "warm": self.warm,
            "peak_bytes": self.peak_bytes,
            "facts": self.facts,
        }


class Workshop:
    """Starts processes that are copies of one which has only imported."""

    def __init__(self, threads: int, device: str = "cpu", pairs: Path | None = None) -> None:
        self.settings = worker.Settings(threads, device, pairs)
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)

    def check(self, case: Case, contender: Contender) -> tuple[bool, str]:
        """Whether the contender keeps its contract, and what was seen."""
        here, there = self.context.Pipe()
        process = self.context.Process(target=worker.check, args=(there, case.name, contender.name, self.settings))
        process.start()
        there.close()
        try:
            return here.recv()
        except EOFError:
            return False, _died(process)
        finally:
            process.join()

    def measure(self, case: Case, contenders: list[Contender], length: int, effort: Effort) -> Iterator[Row]:
        """All actions of all contenders at one length; each row as soon as it is done."""
        able = [one for one in contenders if any(one.reaches(length, action) for action in case.actions)]
        workers = [_Worker(self, case, contender, length) for contender in able]
        try:
            for each in workers:
                each.wait()
                if each.error is not None:
                    yield Row(each.contender, length, "build", error=each.error)
            for action in case.actions:
                able = [each for each in workers if action in each.actions]
                yield from _in_turns(able, length, action, effort)
        finally:
            for each in workers:
                each.close()


class _Worker:
    """The near end of a worker process."""

    def __init__(self, workshop: Workshop, case: Case, contender: Contender, length: int) -> None:
        self.contender = contender
        self.actions: list[str] = []
        self.error: str | None = None
        self.here, there = workshop.context.Pipe()
        arguments = (there, case.name, contender.name, length, workshop.settings)
        self.process = workshop.context.Process(target=worker.serve, args=arguments, daemon=True)
        self.process.start()
        there.close()

    def wait(self) -> None:
        """Until it has built its contender."""
        self.actions = self._answer() or []

    def ask(self, *request: Any) -> Any:
        """The answer, or None with `error` set."""
        if self.error is None:
            self.here.send(request)
        return self._answer()

    def _answer(self) -> Any:
        if self.error is not None:
            return None
        try:
            answer = self.here.recv()
        except EOFError:
            self.error = _died(self.process)
            return None
        if isinstance(answer, str):
            self.error = answer
            return None
        return answer

    def close(self) -> None:
        if self.process.is_alive():
            self.process.terminate()
        self.process.join()
        self.here.close()


def _died(process: Any) -> str:
    process.join()
    return f"the process ended with status {process.exitcode} (-9: most likely the memory was not enough)"


def _in_turns(workers: list[_Worker], length: int, action: str, effort: Effort) -> Iterator[Row]:
    rows = {each: Row(each.contender, length, action) for each in workers}
    for each in workers:
        each.ask("forget_peak")
    waiting = list(workers)
    while waiting:
        for each in list(waiting):
            row = rows[each]
            _take_turn(each, row, effort)
            if row.error is not None or len(row.seconds) >= effort.turns or row.spent >= effort.seconds:
                waiting.remove(each)
                row.peak_bytes = each.ask("growth")
                yield row
            time.sleep(REST)


def _take_turn(each: _Worker, row: Row, effort: Effort) -> None:
    turn = each.ask("turn", row.action)
    if turn is None:
        row.error = each.error
        return
    row.facts.update(turn.facts)
    row.spent += sum(turn.seconds)
    if not row.warm and not row.seconds and row.spent < effort.seconds / 2 and effort.turns > 1:
        # The first turn only warms up; where one call takes so long that it is the measurement, it is kept.
        row.warm = True
        return
    row.calls += len(turn.seconds)
    row.seconds.append(statistics.median(turn.seconds))
    row.cpu_seconds.append(statistics.median(turn.cpu_seconds))
