"""Being asked to stop in the middle of long work: by Ctrl-C, or as batch systems and containers ask it."""

import signal
import threading
from types import TracebackType
from typing import Any, Self

from reformer.errors import ReformerError

REQUESTS = (signal.SIGINT, signal.SIGTERM)


class StoppedError(ReformerError):
    """Somebody asked to stop; the message says what was kept.

    Args:
        message: for the user.
        request: the number of the signal; `exit_status` is what a shell reports of a program that it has ended.
    """

    def __init__(self, message: str, request: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.exit_status = 128 + request


class Interruption:
    """Notes a request to stop while it is held, so that what is under way can be ended and kept.

    A second request does not wait: it raises `KeyboardInterrupt`. Python allows handlers in the main thread alone;
    elsewhere requests are not ours to note, and `request` stays None.
    """

    def __init__(self) -> None:
        self.request: int | None = None
        """The number of the signal that asked; None as long as nobody has."""
        self._before: dict[int, Any] = {}

    def hold(self) -> None:
        """Note requests from here on."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in REQUESTS}

    def release(self) -> None:
        """Give requests back to whoever had them before."""
        for number, handler in self._before.items():
            # None stands for a handler that Python knows nothing of.
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
