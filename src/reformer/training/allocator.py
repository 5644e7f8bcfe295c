"""C allocator of this process: one that keeps large blocks saves a third of a step's time on a long sequence."""

import platform
from pathlib import Path

KEEPING = ("jemalloc", "mimalloc", "tcmalloc")
"""Allocators that can keep freed memory without fragmenting it."""

LARGEST_KEPT = 32 << 20
"""The GNU C library takes blocks of more bytes from the system, and gives them back, at each use."""


def allocator() -> str:
    """The name of the C allocator in this process; "C library" where it is the system's own, or unknown.

    >>> allocator() in (*KEEPING, "C library")
    True
    """
    try:
        mapped = Path("/proc/self/maps").read_text()
    except OSError:
        return "C library"
    return next((name for name in KEEPING if f"lib{name}" in mapped), "C library")


def gives_back(tensor_bytes: int) -> bool:
    """Whether each tensor of this size takes new memory from the system: on Linux, without such an allocator."""
    return tensor_bytes > LARGEST_KEPT and platform.libc_ver()[0] == "glibc" and allocator() == "C library"
