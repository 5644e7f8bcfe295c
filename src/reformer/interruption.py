"""Requests to stop long work, by Ctrl-C (SIGINT) or as batch systems and containers send them (SIGTERM)."""

import signal
import threading
from types import TracebackType
from typing import Any, Self

from reformer.errors import ReformerError

REQUESTS = (signal.SIGINT, signal.SIGTERM)


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
    """Handler of SIGINT and SIGTERM that notes the first signal, so that the work can finish its step and save.

    The second signal raises `KeyboardInterrupt`. Python allows handlers in the main thread alone: in other threads
    signals are not handled, and `request` stays None.
    """

    def __init__(self) -> None:
        self.request: int | None = None
        """The number of the first signal; None before it."""
        self._before: dict[int, Any] = {}

    def hold(self) -> None:
        """Install the handlers."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in REQUESTS}

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

    def __enter__(self) -> Self:
        self.hold()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
