"""Counts of what was changed or left out while a file was read, told once at its end."""

import os
import warnings

from reformer.errors import ReformerWarning


class DataWarning(ReformerWarning):
    """Something in the user's data was read otherwise than it stands there, or not at all."""


class Notes:
    """Counts by what happened, each with the line where it happened first."""

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}

    def count(self, what: str, line: int, number: int = 1) -> None:
        """Count `number` things; `what` says which, and what became of them."""
        if number:
            self._counts.setdefault(what, [0, line])[0] += number

    @property
    def are_empty(self) -> bool:
        """Whether nothing was counted."""
        return not self._counts

    def tell(self, path: str | os.PathLike[str]) -> None:
        """One `DataWarning` for each kind of thing that was counted."""
        for what, (number, line) in self._counts.items():
            warnings.warn(f"{os.fspath(path)}: {what}: {number:,}, first at line {line}", DataWarning, stacklevel=2)
        self._counts.clear()
