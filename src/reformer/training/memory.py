"""Memory of this process and of its machine, and what of it can still be had."""

import ctypes
import gc
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

INTERVAL = 0.001
"""Seconds between two looks at the memory, about."""


def free_memory() -> int:
    """The bytes that the system can still give this process, and on Linux its control group allows."""
    available = psutil.virtual_memory().available
    try:
        limit, used = (int(Path(f"/sys/fs/cgroup/memory.{name}").read_text()) for name in ("max", "current"))
    except (OSError, ValueError):
        return available
    return min(available, limit - used)


def peak_memory() -> int:
    """The most bytes that this process has had in memory, on Linux."""
    return _kilobytes("/proc/self/status", "VmHWM") << 10


def resident() -> int:
    """Bytes of this process in memory, that which is free in it given back before."""
    gc.collect()
    # Systems without glibc have none.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return psutil.Process().memory_info().rss


@contextmanager
def watched() -> Iterator[Sequence[int]]:
    """The bytes of this process in memory, at the beginning, many times while the block runs, and at its end."""
    process, ended = psutil.Process(), threading.Event()
    found = [process.memory_info().rss]

    def watch() -> None:
        while not ended.wait(INTERVAL):
            found.append(process.memory_info().rss)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()
        found.append(process.memory_info().rss)


def _kilobytes(file: str, field: str) -> int:
    return next(int(line.split()[1]) for line in Path(file).read_text().splitlines() if line.startswith(f"{field}:"))
