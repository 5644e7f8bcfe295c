"""Contenders in processes of their own, measured in turns so that noise of the machine hits all alike."""

import multiprocessing
import os
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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


class OutOfTimeError(Exception):
    """The time of the whole run is over."""


@dataclass(frozen=True)
class Effort:
    """Limits of a measurement.

    Args:
        turns: the most turns of one action of one contender.
        seconds: no further turn is begun once the turns took this long together.
        limit: seconds after which a contender that has not answered is ended.
        ends: by `time.monotonic()`, when everything stops.
    """

    turns: int = 5
    seconds: float = 12.0
    limit: float = float("inf")
    ends: float = float("inf")


@dataclass
class Row:
    """The measurements of one action of one contender at one length; seconds are the median of each turn's calls."""

    contender: Contender
    length: int
    action: str
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    calls: int = 0
    warm: bool = False
    spent: float = 0.0
    peak_bytes: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    def common(self) -> dict[str, Any]:
        """The measurement that was asked for."""
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

    def __init__(self, settings: worker.Settings) -> None:
        self.settings = settings
        self.copies = multiprocessing.get_context("forkserver")
        self.copies.set_forkserver_preload(PRELOADED)
        self.fresh = multiprocessing.get_context("spawn")

    def check(self, case: Case, contender: Contender, effort: Effort) -> tuple[bool, str]:
        """Whether the contender keeps its contract, and the report or the error."""
        each = _Worker(self, case, contender, effort)
        try:
            well, answer = each.ask("check")
            return answer if well else (False, answer)
        finally:
            each.close()

    def measure(
        self, case: Case, wanted: Mapping[str, list[str]], length: int, effort: Effort = Effort()
    ) -> Iterator[Row]:
        """The wanted actions of each contender at one length, of those it has; each row as soon as it is done."""
        workers = {name: _Worker(self, case, case.contender(name), effort) for name in wanted}
        able: dict[str, list[_Worker]] = {action: [] for action in case.actions}
        try:
            for each in workers.values():
                each.send("build", length, case.warm_up)
            for name, each in workers.items():
                well, there = each.answer()
                for action in wanted[name]:
                    if not well:
                        # An action that did not fit is left out at greater lengths for each action.
                        yield Row(each.contender, length, action, error=there)
                    elif action in there:
                        able[action].append(each)
            for action in case.actions:
                yield from _in_turns(able[action], length, action, effort)
        finally:
            for each in workers.values():
                each.close()


class _Worker:
    """The near end of a worker process; `ended` says why there are no answers any more."""

    def __init__(self, workshop: Workshop, case: Case, contender: Contender, effort: Effort) -> None:
        self.contender, self.effort = contender, effort
        self.ended: str | None = None
        # A copy would have read the environment already.
        context = workshop.fresh if contender.environment else workshop.copies
        self.here, there = context.Pipe()
        arguments = (there, case.name, contender.name, workshop.settings)
        self.process = context.Process(target=worker.serve, args=arguments, daemon=True)
        before = dict(os.environ)
        os.environ.update(contender.environment)
        try:
            self.process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        there.close()

    def ask(self, *request: Any) -> tuple[bool, Any]:
        """Whether it went well, and the answer or the error."""
        self.send(*request)
        return self.answer()

    def send(self, *request: Any) -> None:
        if self.ended is None:
            try:
                self.here.send(request)
            except ConnectionError:
                self._end()

    def answer(self) -> tuple[bool, Any]:
        left = min(self.effort.limit, self.effort.ends - time.monotonic())
        if self.ended is None:
            try:
                if self.here.poll(None if left == float("inf") else max(0.0, left)):
                    return self.here.recv()
            except (EOFError, ConnectionError):
                self._end()
        if self.ended is None:
            if time.monotonic() >= self.effort.ends:
                raise OutOfTimeError
            self.ended = f"{worker.LIMIT} of {self.effort.limit:g} seconds"
        return False, self.ended

    def _end(self) -> None:
        self.process.join()
        status = self.process.exitcode
        self.ended = f"the process ended with status {status} (-9: most likely the memory was not enough)"

    def close(self) -> None:
        if self.process.is_alive():
            self.process.terminate()
        self.process.join()
        self.here.close()


def _in_turns(workers: list[_Worker], length: int, action: str, effort: Effort) -> Iterator[Row]:
    rows = {each: Row(each.contender, length, action) for each in workers}
    for each in workers:
        each.ask("forget_peak")
    waiting = list(workers)
    while waiting:
        for each in list(waiting):
            row = rows[each]
            well, turn = each.ask("turn", action)
            if well:
                _add(turn, row, effort)
            else:
                row.error = turn
            if not well or len(row.seconds) >= effort.turns or row.spent >= effort.seconds:
                waiting.remove(each)
                well, growth = each.ask("growth")
                row.peak_bytes = growth if well else None
                yield row
            time.sleep(REST)


def _add(turn: worker.Turn, row: Row, effort: Effort) -> None:
    row.facts.update(turn.facts)
    row.spent += sum(turn.seconds) * turn.calls / len(turn.seconds)
    if not row.warm and not row.seconds and row.spent < effort.seconds / 2 and effort.turns > 1:
        # The first turn only warms up; where one call takes so long that it is the measurement, it is kept.
        row.warm = True
        return
    row.calls += turn.calls
    row.seconds.append(statistics.median(turn.seconds))
    row.cpu_seconds.append(statistics.median(turn.cpu_seconds))
