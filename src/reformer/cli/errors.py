"""Errors that the user can fix, each one red message on standard error, without a traceback."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from reformer.errors import ReformerError

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
            with _usage_errors_printable():
                return super().invoke(ctx)
        except ReformerError as error:
            say_error(str(error))
            raise typer.Exit(getattr(error, "exit_status", 1)) from None
        except KeyboardInterrupt:
            say_error("stopped; what was written before is kept")
            raise typer.Exit(INTERRUPTED) from None
        except OSError as error:
            # The reader of a pipe may close it; typer ends quietly then.
            if error.errno == errno.EPIPE:
                raise
            place = os.fspath(error.filename) if error.filename else "reading or writing"
            say_error(f"{place}: {error.strerror or error}; what was written before is kept")
            raise typer.Exit(1) from None


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
