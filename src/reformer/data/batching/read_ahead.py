"""Reading ahead: records batched by length, results given back in order."""

from collections.abc import Iterable, Iterator, Sized
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from reformer.data.batching.encoding import Encoded, encode
from reformer.data.documents import Document
from reformer.data.errors import DataError, OnError, raise_error

if TYPE_CHECKING:
    from reformer.tasks.base import Run


# A batch of this many tokens, padding included, unless one document has more.
BATCH_TOKENS = 8192
# So much is read ahead to find documents of about one length to put into a batch.
TOKENS_AHEAD = 8 * BATCH_TOKENS
DOCUMENTS_AHEAD = 1024


class Readable(Protocol):
    """What a model can read, as token ids."""

    @property
    def ids(self) -> Sized: ...


R = TypeVar("R", bound=Readable)


def readable(run: "Run[Any]", documents: Iterable[Document]) -> Iterator[Encoded | DataError]:
    """The documents tokenised and in their order; in place of one that the model cannot take, its error."""
    return encode(documents, run.tokenizer, run.model.config.max_position_embeddings)


def portions(sequences: Iterable[R | DataError], on_error: OnError = raise_error) -> Iterator[list[R]]:
    """The sequences in their order, as many at a time as may be held to find some of about one length.

    An error among them goes to `on_error`, or is raised without it.
    """
    portion: list[R] = []
    tokens = 0
    for sequence in sequences:
        if isinstance(sequence, DataError):
            on_error(sequence)
            continue
        if portion and (tokens + len(sequence.ids) > TOKENS_AHEAD or len(portion) == DOCUMENTS_AHEAD):
            yield portion
            portion, tokens = [], 0
        portion.append(sequence)
        tokens += len(sequence.ids)
    yield portion
