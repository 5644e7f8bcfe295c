"""Batches of documents of about one length, bounded by their tokens, in an order that a seed decides."""

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

# Documents whose lengths fall in the same of so many steps to a doubling are taken for equally long.
STEPS_TO_A_DOUBLING = 8


class Batches(Sampler[list[int]]):
    """Batches of indices that one process reads in an epoch; the order may differ by epoch, the number does not."""

    @abstractmethod
    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration."""

    @abstractmethod
    def __len__(self) -> int: ...


class TokenBatches(Batches):
    """Indices of documents, batch by batch.

    Documents of nearly equal length go together, so little is padded, and a batch holds at most `batch_tokens`
    tokens, padding included, and at most `batch_size` documents; a longer document is a batch of its own. When
    `shuffle` is set, each epoch (`set_epoch`) mixes anew which documents meet and the order of the batches; the
    number of batches stays the same, which is what makes a run's number of steps known and a resumed run exact.

    Of several processes each takes every `world_size`-th batch. While shuffling they get equally many, the first
    batches being repeated to fill up, because their gradients are averaged; otherwise every batch is taken once.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        batch_tokens: int | None,
        batch_size: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        chosen: np.ndarray | None = None,
    ):
        """
        Args:
            chosen: the indices to read in an epoch, some of them more than once; None: each once.
        """
        self._chosen = np.arange(len(lengths)) if chosen is None else chosen
        lengths = [lengths[index] for index in self._chosen.tolist()]
        self._steps = np.array([_step(length) for length in lengths], dtype=np.int64)
        self._sizes = list(_sizes(np.sort(self._steps), batch_tokens, batch_size))
        self._shuffle, self._seed, self._epoch = shuffle, seed, 0
        self._rank, self._world_size = rank, world_size

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        if self._shuffle:
            return math.ceil(len(self._sizes) / self._world_size)
        return len(range(self._rank, len(self._sizes), self._world_size))

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng((self._seed, self._epoch))
        order = generator.permutation(len(self._steps)) if self._shuffle else np.arange(len(self._steps))
        order = order[np.argsort(self._steps[order], kind="stable")]
        batches = np.split(order, np.cumsum(self._sizes))[:-1]
        turn = generator.permutation(len(batches)) if self._shuffle else np.arange(len(batches))
        if self._shuffle:
            turn = np.resize(turn, len(self) * self._world_size)
        for index in turn[self._rank :: self._world_size]:
            yield self._chosen[batches[index]].tolist()


def balanced(groups: np.ndarray) -> np.ndarray:
    """The indices of examples by their groups, each group as often as the largest one: those of smaller ones recur.

    >>> balanced(np.array([0, 1, 0, 0])).tolist()
    [0, 2, 3, 1, 1, 1]
    """
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    most = max(map(len, members))
    return np.concatenate([np.resize(indices, most) for indices in members])


def _step(length: int) -> int:
    return math.ceil(STEPS_TO_A_DOUBLING * math.log2(max(length, 1)))


def _sizes(steps: np.ndarray, batch_tokens: int | None, batch_size: int | None) -> Iterator[int]:
    """How many documents each batch takes, going from the shortest up; depends on nothing but the steps."""
    size = 0
    for step in steps:
        longest = math.floor(2 ** (step / STEPS_TO_A_DOUBLING))
        full = batch_tokens is not None and (size + 1) * longest > batch_tokens
        if size and (full or size == batch_size):
            yield size
            size = 0
        size += 1
    if size:
        yield size
