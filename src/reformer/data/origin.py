"""Origin of a record: where it stands among the files that were given to predict for."""

from dataclasses import dataclass

Key = tuple[int, ...]
"""Number of a file among those that were given, number of a record in it, and of an answer to it where there are
several. Answers come in the order of their keys."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record stands among the files that were given."""

    key: Key = ()
    file: str | None = None
    """The path of its file as it was given, where several were; None otherwise."""


NOWHERE = Origin()
"""Of a record that was not read from a file to predict for."""
