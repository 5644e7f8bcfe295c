"""Terminal output in which the text of users is text: never markup, and never a control sequence."""

import logging
import re
import warnings
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from reformer.errors import ReformerWarning

_CONTROLS = re.compile(
    # C0, DEL and C1; marks, embeddings, overrides and isolates of writing direction;
    # line and paragraph separators; deprecated formats; annotations; surrogates, which no stream encodes.
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff]"
)


def printable(text: str, *, keep: str = "\n\t") -> str:
    r"""The text with its control characters as escapes, so that a terminal shows them and does nothing else.

    Escapes are those of JSON, so JSON stays the same JSON. A character is replaced by itself alone: the printable form
    of two texts one after the other is that of both.

    Args:
        keep: controls that are meant. Of an id or a label, which has one line, none is: "".

    >>> print(printable("a\x1b[31mb"))
    a\u001b[31mb
    """
    return _CONTROLS.sub(lambda found: found[0] if found[0] in keep else f"\\u{ord(found[0]):04x}", text)


class PlainConsole(Console):
    """Console that reads no markup and no emoji codes, highlights nothing, and shows control characters as escapes."""

    def __init__(self, **options: Any) -> None:
        plain: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
        super().__init__(**(plain | options))

    def render_str(self, text: str, **options: Any) -> Text:
        # Here, because `Text` silently drops some controls, and before the width of a cell is measured.
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        # What is not a string, such as a `Text`, comes by here alone. Rich's own sequences are marked as control.
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


def say(console: Console, text: str) -> None:
    """Print text of users on a console of any kind, such as one that a caller of the library hands in."""
    console.print(printable(text), markup=False, emoji=False, highlight=False)


def show_messages_plainly() -> None:
    """Show control characters as escapes in the warnings and the log of this process, whichever library they are of.

    For the process of a command: it changes `warnings` and `logging` as a whole.
    """
    format_warning, make_record = warnings.formatwarning, logging.getLogRecordFactory()

    def plain_warning(message: Warning | str, category: type[Warning], *arguments: Any, **options: Any) -> str:
        if issubclass(category, ReformerWarning):
            return f"warning: {printable(str(message))}\n"
        return printable(format_warning(message, category, *arguments, **options))

    def plain_record(*arguments: Any, **options: Any) -> logging.LogRecord:
        record = make_record(*arguments, **options)
        # Arguments that do not fit the message are told of by `logging` when it writes, which does not end the process.
        with suppress(TypeError, ValueError, KeyError):
            record.msg, record.args = printable(record.getMessage()), ()
        return record

    warnings.formatwarning = plain_warning
    logging.setLogRecordFactory(plain_record)
