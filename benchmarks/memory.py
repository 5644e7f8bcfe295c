"""Memory that this process holds, and held at most: its own, or that of the device it computes on."""

import ctypes
import gc
import sys
from pathlib import Path
from typing import Any

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


def resident() -> int | None:
    """Bytes of this process in memory now; None where the system does not tell."""
    torch = device()
    return torch.accelerator.memory_allocated() if torch else _status("VmRSS")


def peak() -> int | None:
    """The most that `resident` was since the process began or `forget_peak`."""
    torch = device()
    return torch.accelerator.max_memory_allocated() if torch else _status("VmHWM")


def forget_peak() -> None:
    """Give back what is free and begin a new peak, where the system allows it."""
    gc.collect()
    torch = device()
    if torch:
        torch.accelerator.empty_cache()
        torch.accelerator.reset_peak_memory_stats()
        return
    # glibc keeps freed memory for later, which would hide what is allocated next.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    if CLEAR.exists():
        CLEAR.write_text("5")


def wait() -> None:
    """Until the device has done what it was given, so that a clock sees all of it."""
    torch = device()
    if torch:
        torch.accelerator.synchronize()


def device() -> Any:
    """torch, where tensors are made on a device with memory of its own; None on a processor."""
    torch = sys.modules.get("torch")
    return None if torch is None or torch.get_default_device().type == "cpu" else torch


def _status(field: str) -> int | None:
    if not STATUS.exists():
        return None
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024
