"""Freed memory of a server, given back to the system: a long document would leave its size behind."""

import threading
import time
from contextlib import suppress
from ctypes import CDLL

IDLE = 1.0
"""Seconds without work after which freed memory is given back."""
_ARENA_MAX = -8
"""Parameter of mallopt (malloc.h)."""


class FreedMemory:
    """Thread that gives freed memory back a moment after it was last told of work, where the C library can."""

    def __init__(self) -> None:
        self._worked = threading.Event()
        threading.Thread(target=self._give_back, name="freed-memory", daemon=True).start()

    def touch(self) -> None:
        """Tell that there was work."""
        self._worked.set()

    def _give_back(self) -> None:
        while self._worked.wait():
            while self._worked.is_set():
                self._worked.clear()
                time.sleep(IDLE)
            give_back_memory()


def use_one_arena() -> None:
    """Have the GNU C library take the blocks of all threads from one arena.

    By default each thread has its own, of which `malloc_trim` leaves the last free block, up to 64 MB, in place. It
    has no effect on threads that there are already.
    """
    with suppress(OSError, AttributeError, TypeError):
        CDLL(None).mallopt(_ARENA_MAX, 1)


def give_back_memory() -> None:
    """Give freed memory back to the system, where the C library can."""
    with suppress(OSError, AttributeError, TypeError):
        CDLL(None).malloc_trim(0)
