"""Reading ahead: sequences answered in batches of one padded length, their answers given back in order."""

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import Protocol, TypeVar

from reformer.data.batching.encoding import batch_length
from reformer.data.errors import DataError, OnError, raise_error

# A batch of this many tokens, padding included, unless one sequence has more.
BATCH_TOKENS = 8192
# So much is read ahead to find sequences of about one length to put into a batch.
TOKENS_AHEAD = 8 * BATCH_TOKENS
SEQUENCES_AHEAD = 1024


class TokenSequence(Protocol):
    """Token ids of one record, whatever else it carries."""

    @property
    def ids(self) -> Sized: ...


S = TypeVar("S", bound=TokenSequence)
A = TypeVar("A")


def in_order(
    sequences: Iterable[S | DataError],
    answer_batch: Callable[[list[S]], Sequence[A]],
    *,
    batch_tokens: int = BATCH_TOKENS,
    on_error: OnError = raise_error,
    wanted: Callable[[S], bool] = lambda sequence: True,
) -> Iterator[tuple[S, A]]:
    """Sequences with their answers, in their order, answered in batches of one `batch_length`.

    However many sequences there are, at most `TOKENS_AHEAD` tokens of them, or one longer sequence, are held at a time.

    Args:
        sequences: each a tokenised record, or the error that stands in its place.
        answer_batch: the answers to the sequences of one batch, one each, in their order.
        batch_tokens: the bound on a batch's tokens, padding included; a longer sequence is a batch of its own.
        on_error: called with each error among the sequences; the iteration goes on with the next one.
        wanted: whether a sequence is to be answered. Those that are not stay in their batches, so that no answer is
            computed otherwise than it would be with all; batches of them alone are passed over.
    """
    for portion in _portions(sequences, on_error):
        answers: dict[int, A] = {}
        for indices in _batches([len(sequence.ids) for sequence in portion], batch_tokens):
            batch = [portion[index] for index in indices]
            if any(map(wanted, batch)):
                answers.update(zip(indices, answer_batch(batch), strict=True))
        for index, sequence in enumerate(portion):
            if wanted(sequence):
                yield sequence, answers[index]


def _batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """The indices of the sequences of each batch."""
    groups: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        groups.setdefault(batch_length(length), []).append(index)
    for length, group in sorted(groups.items()):
        most = max(1, batch_tokens // length)
        yield from (group[begin : begin + most] for begin in range(0, len(group), most))


def _portions(sequences: Iterable[S | DataError], on_error: OnError) -> Iterator[list[S]]:
    """Neighbouring sequences, as many at a time as may be held."""
    portion: list[S] = []
    tokens = 0
    for sequence in sequences:
        if isinstance(sequence, DataError):
            on_error(sequence)
            continue
        if portion and (tokens + len(sequence.ids) > TOKENS_AHEAD or len(portion) == SEQUENCES_AHEAD):
            yield portion
            portion, tokens = [], 0
        portion.append(sequence)
        tokens += len(sequence.ids)
    yield portion
