"""Choices by which the records of one file are read, and what is to be told of it."""

from dataclasses import dataclass, field

from reformer.data.errors import OnError, raise_error
from reformer.data.notes import Notes
from reformer.data.spans import SpanReading


@dataclass(frozen=True)
class Reading:
    """How records are read: without a `label_column` no class, without `spans` no entities are looked at."""

    text_column: str = "text"
    label_column: str | None = "label"
    spans: SpanReading | None = field(default_factory=SpanReading)
    columns: tuple[str, ...] | None = None
    tells_others: bool = False
    """Whether it is told which fields of a record are not read."""
    on_error: OnError = raise_error
    notes: Notes = field(default_factory=Notes)
    keeps_others: bool = False
    """Whether other columns or fields of a record are kept."""
    label_separator: str | None = None
    """What stands between the labels of a text that may have several; None where it has one."""
