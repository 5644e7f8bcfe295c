"""Errors that the user can fix, each one red message on standard error, without a traceback."""

import errno
import os
from typing import Any

import typer
from typer.core import TyperGroup

from reformer.errors import ReformerError

# The exit status by which a shell reports a program that Ctrl-C has ended.
INTERRUPTED = 130


class OneMessage(TyperGroup):
    """Group of commands that turns the errors that a user can fix into a message and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        try:
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


def say_error(message: str) -> None:
    """Print a message in red on standard error, as it is: not wrapped."""
    from reformer.terminal import PlainConsole

    PlainConsole(stderr=True).print(message, style="red", soft_wrap=True)
