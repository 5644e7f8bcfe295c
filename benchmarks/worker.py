"""A process that holds one contender at one length, and runs its actions when it is its turn."""

import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks import given, memory
from benchmarks.case import Action, Contender

TURN_SECONDS = 0.1
"""A turn calls its action until this much time has gone, at least once, so that short ones are not lost in noise."""


@dataclass(frozen=True)
class Settings:
    """What a worker sets before it builds anything."""

    threads: int
    device: str = "cpu"
    """Where tensors are made that name no device."""
    pairs: Path | None = None
    """A file of pairs of texts, where one was given."""

    def apply(self) -> None:
        import torch

        torch.set_num_threads(self.threads)
        if self.device != "cpu":
            torch.set_default_device(self.device)
        given.pairs = self.pairs


@dataclass(frozen=True)
class Turn:
    """The calls of one turn."""

    seconds: list[float]
    cpu_seconds: list[float]
    facts: dict[str, Any]


def take_turn(action: Action, at_least: float = TURN_SECONDS) -> Turn:
    """Call an action until `at_least` seconds have gone; its preparation is outside the clock."""
    turn = Turn([], [], dict(action.facts))
    begun = time.perf_counter()
    while not turn.seconds or time.perf_counter() - begun < at_least:
        given = action.prepare()
        memory.wait()
        cpu, wall = time.process_time(), time.perf_counter()
        facts = action.run(given)
        memory.wait()
        turn.seconds.append(time.perf_counter() - wall)
        turn.cpu_seconds.append(time.process_time() - cpu)
        turn.facts.update(facts or {})
        del given
    return turn


def serve(connection: Connection, case: str, name: str, length: int, settings: Settings) -> None:
    """Answer requests until nobody asks any more: every answer is the result, or the traceback as a string."""
    from benchmarks.registry import CASES

    settings.apply()
    try:
        session = _Session(CASES[case].contender(name), length, CASES[case].warm_up)
    except Exception:
        connection.send(traceback.format_exc())
        return
    connection.send(list(session.actions))
    while True:
        try:
            request = connection.recv()
        except EOFError:
            # Whoever asked is gone.
            return
        try:
            connection.send(getattr(session, request[0])(*request[1:]))
        except Exception:
            connection.send(traceback.format_exc())


class _Session:
    """The contender as it was built, and what the process held before."""

    def __init__(self, contender: Contender, length: int, warm_up: int | None) -> None:
        if warm_up is not None:
            _warm_up(contender, min(warm_up, length))
        memory.forget_peak()
        self.bare = memory.resident()
        self.actions = {
            name: action for name, action in contender.build(length).items() if contender.reaches(length, name)
        }

    def turn(self, action: str) -> Turn:
        return take_turn(self.actions[action])

    def forget_peak(self) -> None:
        memory.forget_peak()

    def growth(self) -> int | None:
        """By how much the peak since `forget_peak` is above the bare process."""
        peak = memory.peak()
        return None if peak is None or self.bare is None else peak - self.bare


def _warm_up(contender: Contender, length: int) -> None:
    """Load what is loaded on first use. A function of its own, so that nothing of it stays in memory."""
    for action in contender.build(length).values():
        take_turn(action, at_least=0)


def check(connection: Connection, case: str, name: str, settings: Settings) -> None:
    """Check one contender's contract and answer what was seen, or the error."""
    import torch

    from benchmarks.registry import CASES

    settings.apply()
    torch.manual_seed(0)
    try:
        connection.send((True, CASES[case].contender(name).check()))
    except Exception as error:
        connection.send((False, f"{type(error).__name__}: {error}"))
