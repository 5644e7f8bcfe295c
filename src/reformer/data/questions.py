"""`Question`: a question about a document, with the places of its answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reformer.data.origin import NOWHERE, Origin


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a document, and where in it the answer stands.

    `answers` are characters `start` to `end` (excluded) of the document, each an answer as good as the others. None
    means "not known", an empty tuple means "known to have none". `source` is the place, for messages.
    """

    text: str
    document: str
    id: str
    answers: tuple[tuple[int, int], ...] | None = None
    source: str = ""
    origin: Origin = NOWHERE
    others: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    """Other columns or fields of the record, where they are kept."""

    @property
    def answer_texts(self) -> list[str]:
        """The known answers as texts."""
        return [self.document[start:end] for start, end in self.answers or ()]
