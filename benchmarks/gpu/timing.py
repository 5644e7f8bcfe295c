"""Times of what runs on a card: by its own clock, in turns of several calls."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

TURN_SECONDS = 0.05
"""A turn makes as many calls as take about this long, at least one."""


def measure(run: Callable[[], object], turns: int = 5) -> dict[str, Any]:
    """The median over turns of the seconds a call takes, after calls that compile and warm up; and the peak of memory.

    On a machine without a card the processor's clock is taken, so that what uses this can be tried there.
    """
    run()
    _wait()
    begun = time.perf_counter()
    run()
    _wait()
    once = time.perf_counter() - begun
    calls = max(1, int(TURN_SECONDS / max(once, 1e-6)))
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    seconds = [_turn(run, calls) for _ in range(turns if once < 1 else 2)]
    return {
        "median_seconds": statistics.median(seconds),
        "seconds": seconds,
        "calls": calls * len(seconds),
        "peak_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None,
    }


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _turn(run: Callable[[], object], calls: int) -> float:
    if not torch.cuda.is_available():
        begun = time.perf_counter()
        for _ in range(calls):
            run()
        return (time.perf_counter() - begun) / calls
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    for _ in range(calls):
        run()
    last.record()
    last.synchronize()
    return first.elapsed_time(last) / 1000 / calls
