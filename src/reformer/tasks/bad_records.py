"""Records that cannot be learned from: all of them told at once, or left out."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from reformer.data import DataError
from reformer.wording import counted

MOST_SHOWN = 20
"""Records whose errors are printed, at most; the others are counted."""

Record = TypeVar("Record")


class BadRecords:
    """Handler of errors that gathers them: `raise_all` raises them as one.

    Args:
        skip: leave the records out instead.
    """

    def __init__(self, *, skip: bool = False) -> None:
        self._skip, self._shown, self._count = skip, list[DataError](), 0

    def __call__(self, error: DataError) -> None:
        self._count += 1
        if self._count <= MOST_SHOWN:
            self._shown.append(error)

    def usable(self, records: Iterable[Record], check: Callable[[Record], object]) -> Iterator[Record]:
        """The records for which `check` raises no `DataError`."""
        for record in records:
            try:
                check(record)
            except DataError as error:
                self(error)
            else:
                yield record

    def raise_all(self) -> None:
        """Raise the error of one record, or one that lists those of all; nothing where they are left out."""
        if not self._count or self._skip:
            return
        remedy = "or leave it out: --skip-bad (data.skip_bad = true in a recipe)"
        if self._count == 1:
            [error] = self._shown
            raise DataError(error.path, error.line, error.problem, f"{error.remedy}; {remedy}")
        remedy = f"correct them, {remedy.replace(' it ', ' them ')}:\n{self._listed()}"
        raise DataError(None, None, f"{counted(self._count, 'record')} cannot be learned from", remedy)

    def cautions(self) -> Iterator[str]:
        """A line for the console about what was left out."""
        if self._count:
            yield f"{counted(self._count, 'record')} left out (skip_bad):\n{self._listed()}"

    def _listed(self) -> str:
        lines = [f"  {error}" for error in self._shown]
        if self._count > len(lines):
            lines.append(f"  and {self._count - len(lines):,} more")
        return "\n".join(lines)
