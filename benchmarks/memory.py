"""How much memory this process holds, and held at most."""

import ctypes
import gc
from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


def resident() -> int | None:
    """Bytes of this process in memory now; None where the system does not tell."""
    return _status("VmRSS")


def peak() -> int | None:
    """The most that `resident` was since the process began or `forget_peak`."""
    return _status("VmHWM")


def forget_peak() -> None:
    """Give back what is free and begin a new peak, where the system allows it."""
    gc.collect()
    # glibc keeps freed memory for later, which would hide what is allocated next.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    if CLEAR.exists():
        CLEAR.write_text("5")


def _status(field: str) -> int | None:
    if not STATUS.exists():
        return None
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024
