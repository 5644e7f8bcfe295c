"""Running text cut into sequences of one length, at places that a seed decides."""

import math
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Dataset

from reformer.data.batching.token_batches import Batches
from reformer.data.token_ids import TokenIds


class Windows(Dataset[np.ndarray]):
    """Sequences of `length` tokens of a text; an item's index is the place of its first token.

    A text that is shorter is one sequence. `starts` are the places of an even cut from the beginning on, the last
    sequence being what is left; with `tokens` they are so few that they hold about so many tokens, spread evenly.
    """

    def __init__(self, ids: TokenIds, length: int, tokens: int | None = None) -> None:
        self.ids = ids
        self.length = min(length, len(ids))
        # A last window of one token would have no token to predict, and a loss of 0 / 0.
        self.starts = np.arange(0, len(ids) - 1, self.length)
        if tokens is not None:
            count = min(len(self.starts), math.ceil(tokens / self.length))
            self.starts = self.starts[np.arange(count) * len(self.starts) // count]

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, start: int) -> np.ndarray:
        return self.ids.read(start, start + self.length)


class RandomWindows(Batches):
    """Batches of a text's sequences for training.

    Each epoch (`set_epoch`) moves the cut through the text to another place and mixes the sequences, so every epoch
    sees nearly every token once and none twice, and sequences differ from epoch to epoch. Seed and epoch alone decide;
    the number of batches stays the same. Of several processes each takes every `world_size`-th batch.
    """

    def __init__(self, windows: Windows, size: int, *, seed: int, rank: int, world_size: int) -> None:
        self._length, self._tokens, self._size = windows.length, len(windows.ids), size
        # One fewer than fit, where there are several, leaves room to move the cut.
        self._count = max(1, self._tokens // self._length - 1)
        self._seed, self._epoch, self._rank, self._world_size = seed, 0, rank, world_size

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return math.ceil(math.ceil(self._count / self._size) / self._world_size)

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng((self._seed, self._epoch))
        room = self._tokens - self._count * self._length
        first = generator.integers(min(room, self._length) + 1)
        starts = first + self._length * generator.permutation(self._count)
        batches = [starts[at : at + self._size].tolist() for at in range(0, self._count, self._size)]
        for number in range(self._rank, len(self) * self._world_size, self._world_size):
            yield batches[number % len(batches)]


class WindowsInOrder(Batches):
    """Batches of a text's sequences for evaluation, in their order; a shorter one is a batch of its own."""

    def __init__(self, windows: Windows, size: int, *, rank: int = 0, world_size: int = 1) -> None:
        whole = windows.starts[windows.starts + windows.length <= len(windows.ids)].tolist()
        batches = [whole[at : at + size] for at in range(0, len(whole), size)]
        batches += [[start] for start in windows.starts[len(whole) :].tolist()]
        self._batches = batches[rank::world_size]

    def set_epoch(self, epoch: int) -> None:
        """Every epoch has the same order."""

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches)
