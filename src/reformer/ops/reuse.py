"""Memory of large tensors that are gone, for the next of their size: the system zeroes each page that it gives."""

import math
import weakref
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import local

import torch
from jaxtyping import Shaped
from torch import Tensor

WORTH_REUSE = 32 << 20
"""Tensors of fewer bytes are left to the C library, which keeps freed memory of them."""


class _Blocks:
    """Memory of tensors that are gone, by its size in bytes."""

    def __init__(self) -> None:
        self.free: defaultdict[int, list[Tensor]] | None = defaultdict(list)

    def take(self, size: int) -> Shaped[Tensor, " bytes"]:
        assert self.free is not None
        free = self.free[size]
        block = free.pop() if free else torch.empty(size, dtype=torch.uint8)
        # The tensor that is handed out keeps this array, and nothing else does, until its last view is gone.
        array = block.numpy()
        weakref.finalize(array, self.give_back, block).atexit = False
        return torch.from_numpy(array)

    def give_back(self, block: Tensor) -> None:
        if self.free is not None:
            self.free[block.numel()].append(block)


class _Current(local):
    blocks: _Blocks | None = None


_current = _Current()


@contextmanager
def reused() -> Iterator[None]:
    """While it lasts, `new_empty` and `empty_like` in this thread give memory of such tensors that are gone; after it,
    what is free goes back.

    The layers of a long stack need tensors of the same few sizes one after the other. Taken from the system for each
    layer, zeroing their pages takes up to half of a step's time.

    Example:
        >>> with reused():
        ...     first = empty_like(torch.zeros(1 << 23)).data_ptr()
        ...     second = empty_like(torch.zeros(1 << 23)).data_ptr()
        >>> first == second
        True
    """
    outer, mine = _current.blocks, _Blocks()
    _current.blocks = mine
    try:
        yield
    finally:
        _current.blocks = outer
        mine.free = None


def new_empty(tensor: Shaped[Tensor, "*any"], shape: Sequence[int]) -> Shaped[Tensor, "*others"]:
    """`tensor.new_empty(shape)`, of memory that was used before where there is some."""
    size = math.prod(shape) * tensor.element_size()
    if _current.blocks is None or tensor.device.type != "cpu" or size < WORTH_REUSE:
        return tensor.new_empty(shape)
    return _current.blocks.take(size).view(tensor.dtype).view(shape)


def empty_like(tensor: Shaped[Tensor, "*any"]) -> Shaped[Tensor, "*any"]:
    """`torch.empty_like`, of memory that was used before where there is some."""
    # On no device, where it costs nothing, to learn the strides.
    strides = torch.empty_like(tensor, device="meta").stride()
    return new_empty(tensor, [tensor.numel()]).as_strided(tensor.shape, strides)
