"""Who gives out memory: one that keeps large blocks saves a third of the time of a step on a long sequence."""

import platform
from pathlib import Path

KEEPING = ("jemalloc", "mimalloc", "tcmalloc")
"""Allocators that can keep what was freed without falling to pieces."""

LARGEST_KEPT = 32 << 20
"""Blocks above this many bytes the GNU C library asks of the system, and gives back, each time."""


def allocator() -> str:
    """The name of the C allocator in this process; "C library" where it is the system's own, or cannot be told.

    >>> allocator() in (*KEEPING, "C library")
    True
    """
    try:
        mapped = Path("/proc/self/maps").read_text()
    except OSError:
        return "C library"
    return next((name for name in KEEPING if f"lib{name}" in mapped), "C library")


def gives_back(tensor_bytes: int) -> bool:
    """Whether tensors of this size cost new memory each time they are made: on Linux, without such an allocator."""
    return tensor_bytes > LARGEST_KEPT and platform.libc_ver()[0] == "glibc" and allocator() == "C library"
