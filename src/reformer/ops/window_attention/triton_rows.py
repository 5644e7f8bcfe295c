"""Slots and windows made into what the GPU's kernels walk: sorted rows, and the stretch of them each query sees."""

# A kernel is launched by `kernel[grid](...)`.
# pyright: reportIndexIssue=false

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from reformer.ops import gpu
from reformer.ops.orderings.triton import Counts

GROUP = 64
"""Queries that have a row of their own are sorted by their place among the keys, in steps of so many."""

FEWEST_KINDS, MOST_KINDS = 1 << 12, 1 << 20
"""How many buckets a row's table holds. Slots of further buckets are sorted bit by bit, by one program a row."""


class Arrangement(NamedTuple):
    """What the kernels are given instead of slots; what a call does not need is empty.

    Batch and heads of one are those of the slots: rows that all heads share are made once.
    """

    key_order: Tensor
    """int32 `[batch, heads, orderings, length]`: keys sorted by slot, absent ones behind."""
    present: Tensor
    """int32 `[batch, heads, orderings]`: how many keys are not absent."""
    places: Tensor
    """int32 `[batch, heads, length, orderings]`: where each key stands, -1 if absent; for several orderings."""
    seen: Tensor
    """int64 `[batch, heads, queries, orderings]`: the first place each query sees `<< 32`, and how many."""
    query_order: Tensor
    """int32 `[batch, heads, orderings, queries]`, if queries are not in the keys' row."""
    begins: Tensor
    """int32 `[batch * heads * orderings, groups + 1]`: where groups begin in `query_order`."""
    own: Tensor
    """int32 `[batch, heads, queries]`: the key that is the query itself, -1 if none; if that is asked for."""


def arrange(
    query_slots: Tensor, key_slots: Tensor | None, windows: list[int], causal: bool, with_own: bool
) -> Arrangement:
    """Sort the keys of every ordering, and find what every query sees. No key slots: the queries' own."""
    slots = query_slots if key_slots is None else key_slots
    key_order, in_order, present = _sorted(slots)
    if key_slots is None:
        seen, places = _see_keys(key_order, in_order, present, windows, causal)
        return Arrangement(key_order, present, places, seen, *(key_order.new_empty(0) for _ in range(3)))
    places = _places(key_order, present) if len(windows) > 1 else key_order.new_empty(0)
    seen, groups, kinds, own = _see_queries(query_slots, key_order, in_order, present, windows, causal, with_own)
    query_order, begins = Counts(groups, None, kinds).order(groups)
    return Arrangement(key_order, present, places, seen, query_order, begins, own)


def fake_arrangement(query_slots: Tensor, key_slots: Tensor | None, with_own: bool) -> Arrangement:
    """The shapes that `arrange` gives."""
    slots = query_slots if key_slots is None else key_slots
    batch, heads, orderings, length = slots.shape

    def ints(*shape: int) -> Tensor:
        return slots.new_empty(shape, dtype=torch.int32)

    key_order, present = ints(*slots.shape), ints(batch, heads, orderings)
    places = ints(batch, heads, length, orderings) if orderings > 1 else ints(0)
    if key_slots is None:
        seen = slots.new_empty(batch, heads, length, orderings)
        return Arrangement(key_order, present, places, seen, ints(0), ints(0), ints(0))
    batch, heads = (max(a, b) for a, b in zip(query_slots.shape[:2], slots.shape[:2], strict=True))
    queries = query_slots.shape[-1]
    return Arrangement(
        key_order,
        present,
        places,
        slots.new_empty(batch, heads, queries, orderings),
        ints(batch, heads, orderings, queries),
        ints(batch * heads * orderings, _groups(length) + 1),
        ints(batch, heads, queries) if with_own else ints(0),
    )


def _groups(length: int) -> int:
    """How many groups queries can be in, with one for those that are absent."""
    return length // GROUP + 2


def _steps(slots: Tensor) -> tuple[int, int, int, int]:
    return slots.stride(0), slots.stride(1), slots.stride(2), slots.stride(3)


def _sorted(slots: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens sorted by slot, int32 like `slots`; the slots in that order, int64; and how many are present."""
    from reformer.ops.window_attention.triton_kernels import sorting

    batch, heads, orderings, length = slots.shape
    rows = batch * heads * orderings
    kinds = min(MOST_KINDS, gpu.power(length // 4, FEWEST_KINDS))
    low = torch.full((rows, kinds), 2**31 - 1, dtype=torch.int32, device=slots.device)
    high = torch.full_like(low, -1)
    present, absent, odd = torch.zeros(3, rows, dtype=torch.int32, device=slots.device).unbind()
    order = slots.new_empty(slots.shape, dtype=torch.int32)
    in_order = slots.new_empty(slots.shape)
    size, chunk = 1024, max(1024, kinds // 1024)
    blocks, chunks = -(-length // size), -(-kinds // chunk)
    sums = slots.new_empty(rows, chunks)
    shape = (length, heads, orderings, *_steps(slots))
    with gpu.on(slots):
        sorting.bounds[(rows * blocks,)](slots, low, high, present, odd, *shape, kinds, blocks, block=size)
        sorting.add_up[(rows * chunks,)](low, high, sums, kinds, chunks, block=chunk)
        sorting.begin[(rows * chunks,)](
            low, high, sums, present, odd, kinds, chunks, block=chunk, wide_blocks=gpu.power(chunks)
        )
        sorting.place[(rows * blocks,)](
            slots, low, present, absent, odd, order, in_order, *shape, kinds, blocks, block=size
        )
        sorting.sort_odd[(rows,)](slots, odd, order, in_order, in_order.view(torch.int32), *shape, block=size)
    return order, in_order, present.view(batch, heads, orderings)


def _runs(windows: list[int]) -> Iterator[tuple[int, int, int]]:
    """Neighbouring orderings of one window, which one launch serves: the first, how many, and the window."""
    begin = 0
    for window, same in groupby(windows):
        count = len(list(same))
        yield begin, count, window
        begin += count


def reach(window: int, length: int) -> int:
    """How many places a window can span at most."""
    return min(window, length + 1)


def _see_keys(
    order: Tensor, in_order: Tensor, present: Tensor, windows: list[int], causal: bool
) -> tuple[Tensor, Tensor]:
    from reformer.ops.window_attention.triton_kernels import ranges as seeing

    batch, heads, orderings, length = order.shape
    several = orderings > 1
    seen = in_order.new_empty(batch, heads, length, orderings)
    places = order.new_empty((batch, heads, length, orderings) if several else 0)
    size = 256
    blocks = -(-length // size)
    for begin, count, window in _runs(windows):
        far = reach(window, length)
        with gpu.on(order):
            seeing.see_keys[(batch * heads * count * blocks,)](
                order, in_order, present, seen, places, length, orderings, begin, count, window, far,
                far.bit_length(), blocks, causal=causal, several=several, block=size,
            )  # fmt: skip
    return seen, places


def _places(order: Tensor, present: Tensor) -> Tensor:
    from reformer.ops.window_attention.triton_kernels import ranges as seeing

    batch, heads, orderings, length = order.shape
    places = order.new_empty(batch, heads, length, orderings)
    size = 1024
    blocks = -(-length // size)
    with gpu.on(order):
        seeing.find_places[(batch * heads * orderings * blocks,)](
            order, present, places, length, orderings, blocks, block=size
        )
    return places


def _see_queries(
    slots: Tensor, order: Tensor, in_order: Tensor, present: Tensor, windows: list[int], causal: bool, with_own: bool
) -> tuple[Tensor, Tensor, int, Tensor]:
    from reformer.ops.window_attention.triton_kernels import ranges as seeing

    orderings, length, queries = order.shape[2], order.shape[3], slots.shape[3]
    batch, heads = (max(a, b) for a, b in zip(slots.shape[:2], order.shape[:2], strict=True))
    slots = slots.expand(batch, heads, -1, -1)
    seen = slots.new_empty(batch, heads, queries, orderings)
    groups = order.new_empty(batch, heads, orderings, queries)
    own = order.new_full((batch, heads, queries), -1) if with_own else order.new_empty(0)
    size = 256
    blocks = -(-queries // size)
    for begin, count, window in _runs(windows):
        far = reach(window, length)
        with gpu.on(order):
            seeing.see_queries[(batch * heads * blocks,)](
                slots, order, in_order, present, seen, own, groups, queries, length, heads, orderings, begin, count,
                *_steps(slots), *pair_steps(order), window, far, far.bit_length() + 1, length.bit_length() + 1, GROUP,
                _groups(length) - 1, blocks, causal=causal, with_own=with_own, block=size,
            )  # fmt: skip
    return seen, groups, _groups(length), own


def pair_steps(rows: Tensor) -> tuple[int, int]:
    """How many pairs of batch item and head lie between batch items and between heads; 0 where all share one."""
    batch, heads = rows.shape[:2]
    return heads if batch > 1 else 0, 1 if heads > 1 else 0
