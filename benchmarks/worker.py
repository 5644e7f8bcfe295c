"""A process that holds one contender at one length, and runs its actions when it is its turn."""

import math
import os
import time
import traceback
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks import memory
from benchmarks.case import Action, Contender

TURN_SECONDS = 0.1
"""A turn calls its action until this much time has gone, at least once, so that short ones are not lost in noise."""

LIMIT = "took longer than the limit"
NO_MEMORY = "out of memory"


@dataclass(frozen=True)
class Settings:
    """Settings of a worker process.

    Args:
        device: where tensors are made that name no device.
        pairs: a file of pairs of texts, for the cases that translate.
        tiles: the file of the GPU kernels' tilings, unless the environment names one.
    """

    threads: int
    device: str = "cpu"
    pairs: Path | None = None
    tiles: Path | None = None

    def apply(self) -> None:
        import torch

        from reformer.ops.window_attention import triton_tiles

        torch.set_num_threads(self.threads)
        if self.device != "cpu":
            torch.set_default_device(self.device)
        if self.tiles is not None:
            os.environ.setdefault(triton_tiles.FILE, str(self.tiles))

    def contender(self, case: str, name: str) -> Contender:
        from benchmarks.registry import cases

        return cases(self.pairs)[case].contender(name)


@dataclass
class Turn:
    """The calls of one turn: seconds of each, or on a device the mean of each block of them."""

    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    calls: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


def take_turn(action: Action, at_least: float = TURN_SECONDS) -> Turn:
    """Call an action until `at_least` seconds have gone; its preparation is outside the clock."""
    turn, calls = Turn(facts=dict(action.facts)), 1
    begun = time.perf_counter()
    while not turn.seconds or time.perf_counter() - begun < at_least:
        given = action.prepare()
        memory.wait()
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(calls):
            turn.facts.update(action.run(given) or {})
        memory.wait()
        seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
        del given
        if memory.device() and calls == 1 and seconds < at_least:
            # A device is waited for once in a block of calls: after each call the wait would be most of a short one.
            calls = math.ceil(at_least / max(seconds, 1e-6))
            continue
        turn.seconds.append(seconds / calls)
        turn.cpu_seconds.append(cpu_seconds / calls)
        turn.calls += calls
    return turn


def serve(connection: Connection, case: str, name: str, settings: Settings) -> None:
    """Answer requests until nobody asks any more: each answer is whether it went well, and the result or the error."""
    settings.apply()
    session = Session(settings.contender(case, name))
    while True:
        try:
            request, *arguments = connection.recv()
        except EOFError:
            return
        try:
            answer = (True, getattr(session, request)(*arguments))
        except Exception as error:
            answer = (False, _told(error))
        connection.send(answer)


def _told(error: Exception) -> str:
    import torch

    return NO_MEMORY if isinstance(error, torch.OutOfMemoryError) else traceback.format_exc()


class Session:
    """A contender, its actions at one length, and the memory of the process before they were built."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        self.actions: dict[str, Action] = {}
        self.cold: set[str] = set()
        self.bare: int | None = None

    def check(self) -> tuple[bool, str]:
        """Whether the contract is kept, and the report or the error."""
        import torch

        torch.manual_seed(0)
        try:
            return True, self.contender.check()
        except Exception as error:
            return False, f"{type(error).__name__}: {error}"

    def build(self, length: int, warm_up: int | None) -> list[str]:
        """Build, after a warm-up at a smaller length; the actions there are. A device is warmed up at the length itself
        by the first turn of each action, because kernels are compiled for a length."""
        if warm_up is not None and not memory.device():
            _warm_up(self.contender, length, min(warm_up, length))
        memory.forget_peak()
        self.bare = memory.resident()
        self.actions = self.contender.build(length)
        self.cold = set(self.actions) if warm_up is not None and memory.device() else set()
        return [name for name in self.actions if self.contender.reaches(length, name)]

    def turn(self, name: str) -> Turn:
        action = self.actions[name]
        if name in self.cold:
            self.cold.remove(name)
            action.run(action.prepare())
        return take_turn(action)

    def forget_peak(self) -> None:
        memory.forget_peak()

    def growth(self) -> int | None:
        """By how much the peak since `forget_peak` is above the bare process."""
        peak = memory.peak()
        return None if peak is None or self.bare is None else peak - self.bare


def _warm_up(contender: Contender, length: int, shorter: int) -> None:
    """Load what is loaded on first use. A function of its own, so that nothing of it stays in memory."""
    for name, action in contender.build(shorter).items():
        if contender.reaches(length, name):
            take_turn(action, at_least=0)
