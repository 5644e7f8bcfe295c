"""`DataError`, which names place and remedy, and its handlers."""

import os
from collections.abc import Callable
from typing import NoReturn, Self

from reformer.errors import ReformerError


class DataError(ReformerError):
    """Something in the user's data is wrong; prints as `path:line: problem; remedy`.

    `path` is the file (None when the data came from no file), `line` the 1-based line where the record
    begins (None when the whole file is meant), `problem` what was found, `remedy` what to do about it.
    """

    def __init__(self, path: str | os.PathLike[str] | None, line: int | None, problem: str, remedy: str):
        # The four arguments go to Exception as they are, so that the error survives a pickle between processes.
        super().__init__(path, line, problem, remedy)
        self.path = None if path is None else os.fspath(path)
        self.line = line
        self.problem = problem
        self.remedy = remedy

    @classmethod
    def at(cls, source: str, problem: str, remedy: str) -> Self:
        """The error at a document's `source`, which is `file:line`, `file` or empty.

        >>> print(DataError.at("reviews.csv:7", "empty text", "delete the row"))
        reviews.csv:7: empty text; delete the row
        """
        path, _, line = source.rpartition(":")
        if path and line.isdecimal():
            return cls(path, int(line), problem, remedy)
        return cls(source or None, None, problem, remedy)

    def __str__(self) -> str:
        place = "" if self.path is None else self.path
        if self.line is not None:
            place += f":{self.line}" if place else f"line {self.line}"
        return f"{place}: {self.problem}; {self.remedy}" if place else f"{self.problem}; {self.remedy}"


class TooLongError(DataError):
    """A record that has more tokens than the model takes."""


OnError = Callable[[DataError], object]
"""A handler of the error of a record that cannot be read or answered; `raise_error` ends at the first."""


def raise_error(error: DataError) -> NoReturn:
    raise error
