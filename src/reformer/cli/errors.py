"""Errors that the user can fix, each one red message on standard error, without a traceback."""

import errno
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from reformer.errors import ReformerError, disk_error, reason_and_remedy

SECONDS_TO_SAY = 5.0
"""How long a process waits for the first one to say what all of them have found."""

# The exit status by which a shell reports a program that Ctrl-C has ended.
INTERRUPTED = 130


# Which module has it depends on typer's version.
_UsageError: Any = typer.BadParameter.__base__


class OneMessage(TyperGroup):
    """Group of commands that turns the errors that a user can fix into a message and an exit status."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with _usage_errors_printable():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        try:
            with _usage_errors_printable(), _disk_errors_of_threads_left_to_the_main_one():
                return super().invoke(ctx)
        except ReformerError as error:
            others_say = getattr(error, "on_every_process", False) and not _says(getattr(error, "said_by", 0))
            if others_say:
                # One process says so for all, and torchrun ends it as soon as it sees that another has failed.
                time.sleep(SECONDS_TO_SAY)
            elif not getattr(error, "silent", False):
                say_error(str(error))
            raise typer.Exit(getattr(error, "exit_status", 1)) from None
        except KeyboardInterrupt:
            say_error("stopped; what was written before is kept")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error):
                reason = next(iter(str(error).strip().splitlines()), "none is left")
                say_error(f"there is not enough memory ({reason}); give less at a time, or a smaller model")
                raise typer.Exit(1) from None
            of_disk = disk_error(error)
            # The reader of a pipe may close it; typer ends quietly then.
            if of_disk is None or of_disk.errno == errno.EPIPE:
                raise
            # Of a rename, the name that users know is the second.
            name = of_disk.filename2 or of_disk.filename
            reason, remedy = reason_and_remedy(of_disk)
            say_error(
                f"{os.fsdecode(name) if isinstance(name, str | bytes) else 'reading or writing'}: {reason}; {remedy}"
            )
            raise typer.Exit(1) from None


def _says(process: int) -> bool:
    """Whether this is the process of that number, or the only one."""
    return os.environ.get("RANK", "0") == str(process) or os.environ.get("WORLD_SIZE", "1") == "1"


@contextmanager
def _usage_errors_printable() -> Iterator[None]:
    """Typer prints the names and values of wrong options as they come, on a console of its own."""
    from reformer.terminal import printable

    try:
        yield
    except _UsageError as error:
        message = error.format_message()
        if printable(message) == message:
            raise
        raise _UsageError(printable(message), error.ctx) from None


def say_error(message: str) -> None:
    """Print a message in red on standard error, as it is: not wrapped."""
    from reformer.terminal import PlainConsole

    PlainConsole(stderr=True).print(message, style="red", soft_wrap=True)


def say_note(message: str) -> None:
    """Print a note on standard error, as it is: not wrapped."""
    from reformer.terminal import PlainConsole

    PlainConsole(stderr=True).print(f"note: {message}", soft_wrap=True)


@contextmanager
def _disk_errors_of_threads_left_to_the_main_one() -> Iterator[None]:
    """No traceback for a full disk in the thread that writes the log: TensorBoard raises it in the main thread, too."""
    before = threading.excepthook

    def hook(failed: Any) -> None:
        if not isinstance(failed.exc_value, OSError):
            before(failed)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before
