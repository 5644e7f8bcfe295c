"""Progress of a command in a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from reformer.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

Count = Callable[[int], None]
"""Who is told of each answer, with the size of what it is to."""


@contextmanager
def progress(console: "Console", total: Callable[[], int | None]) -> Iterator[Count]:
    """Counts the answers, and tells the time left, where there is a terminal to show them in.

    Args:
        total: the size of all that is to be answered; None where nothing tells it. Asked for in a terminal alone.
    """
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    size = total() if console.is_terminal else None
    columns: list[Any] = [SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()]
    if size:
        columns += [BarColumn(), TimeRemainingColumn(), TextColumn("left")]
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("loading", total=size)
        answers = 0

        def count(answered: int) -> None:
            nonlocal answers
            answers += 1
            bar.update(task, description=counted(answers, "answer"), advance=answered)

        yield count


@contextmanager
def steps(console: "Console") -> Iterator[Callable[[str], None]]:
    """Shows the last step that was told, and the time, where there is a terminal to show them in."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda line: bar.update(task, description=line)
