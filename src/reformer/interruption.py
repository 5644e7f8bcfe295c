"""Requests to stop long work, by Ctrl-C (SIGINT), batch systems (SIGTERM) or a closed terminal (SIGHUP)."""

import errno
import os
import signal
import threading
from types import TracebackType
from typing import Any, Self

from reformer.errors import ReformerError

# Windows has no SIGHUP.
REQUESTS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


class StoppedError(ReformerError):
    """Work was stopped on request; the message says what was kept.

    Args:
        message: for the user.
        request: the number of the signal; `exit_status` is 128 more, as shells report a program that it has ended.
    """

    def __init__(self, message: str, request: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.exit_status = 128 + request


class Interruption:
    """Handler of SIGINT, SIGTERM and SIGHUP that notes the first signal, so that the work can finish its step and save.

    The second signal raises `KeyboardInterrupt`. Python allows handlers in the main thread alone: in other threads
    signals are not handled, and `request` stays None. Nor is a SIGHUP that `nohup` has the process ignore.
    """

    def __init__(self) -> None:
        self.request: int | None = None
        """The number of the first signal; None before it."""
        self._before: dict[int, Any] = {}

    def hold(self) -> None:
        """Install the handlers."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in REQUESTS if not _ignored(number)}

    def release(self) -> None:
        """Put the former handlers back."""
        for number, handler in self._before.items():
            # None stands for a handler that was not installed by Python, which `signal.signal` would refuse.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}

    def _note(self, number: int, frame: Any) -> None:
        if self.request is not None:
            raise KeyboardInterrupt
        self.request = number
        if number not in (signal.SIGINT, signal.SIGTERM):
            _leave_closed_terminal()

    def __enter__(self) -> Self:
        self.hold()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _ignored(number: int) -> bool:
    return number not in (signal.SIGINT, signal.SIGTERM) and signal.getsignal(number) is signal.SIG_IGN


def _leave_closed_terminal() -> None:
    """Drop what is printed on a closed terminal: the error of printing would end the work before it is saved."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    try:
        for descriptor in (1, 2):
            try:
                os.write(descriptor, b"")
            except OSError as error:
                if error.errno == errno.EIO:
                    os.dup2(nowhere, descriptor)
    finally:
        os.close(nowhere)
