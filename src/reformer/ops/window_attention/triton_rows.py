"""Rows of the Triton kernels: keys sorted by slot, and the range of places each query sees (`docs/math.md`, 17, 18)."""

# A kernel is launched by `kernel[grid](...)`.
# pyright: reportIndexIssue=false

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from reformer.ops import gpu
from reformer.ops.orderings.triton_counting import Counts

GROUP = 64
"""Places of a group: queries that are not in the keys' row are sorted by their place among the keys over this."""

FEWEST_KINDS, MOST_KINDS = 1 << 12, 1 << 20
"""Bounds of the number of buckets in a row's table. A row with slots of further buckets is sorted bit by bit, by one
program."""


class Arrangement(NamedTuple):
    """The tensors that replace slots in the kernels; those that a call does not need are empty, `[0]`.

    Batch and heads are 1 where the slots' are: rows that all heads share are sorted once.
    """

    key_order: Int[Tensor, "batch heads orderings length"]
    """int32; keys sorted by slot, absent keys behind."""
    present: Int[Tensor, "batch heads orderings"]
    """int32; the number of keys that are not absent."""
    places: Int[Tensor, "batch heads length orderings"] | Int[Tensor, "0"]
    """int32; the place of each key, -1 if absent. For several orderings."""
    seen: Int[Tensor, "batch heads queries orderings"]
    """int64; the range of places that each query sees, its first place `<< 32` plus its size."""
    query_order: Int[Tensor, "batch heads orderings queries"] | Int[Tensor, "0"]
    """int32; queries sorted by group, if they are not in the keys' row."""
    begins: Int[Tensor, "rows bounds"] | Int[Tensor, "0"]
    """int32 `[batch * heads * orderings, groups + 1]`; where groups begin in `query_order`."""
    self_key: Int[Tensor, "batch heads queries"] | Int[Tensor, "0"]
    """int32; the key that is the query itself, -1 if there is none. For `with_self_key`."""


def arrange(
    query_slots: Int[Tensor, "#batch #heads orderings queries"],
    key_slots: Int[Tensor, "#batch #heads orderings length"] | None,
    windows: list[int],
    causal: bool,
    with_self_key: bool,
) -> Arrangement:
    """Sort the keys of every ordering and find every query's range; without key slots, they are the queries'."""
    slots = query_slots if key_slots is None else key_slots
    key_order, in_order, present = _sorted(slots)
    if key_slots is None:
        seen, places = _see_keys(key_order, in_order, present, windows, causal)
        return Arrangement(key_order, present, places, seen, *(key_order.new_empty(0) for _ in range(3)))
    places = _places(key_order, present) if len(windows) > 1 else key_order.new_empty(0)
    seen, groups, kinds, self_key = _see_queries(
        query_slots, key_order, in_order, present, windows, causal, with_self_key
    )
    query_order, begins = Counts(groups, None, kinds).order(groups)
    return Arrangement(key_order, present, places, seen, query_order, begins, self_key)


def fake_arrangement(
    query_slots: Int[Tensor, "#batch #heads orderings queries"],
    key_slots: Int[Tensor, "#batch #heads orderings length"] | None,
    with_self_key: bool,
) -> Arrangement:
    """Uninitialised tensors of the shapes and dtypes that `arrange` returns."""
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
        ints(batch, heads, queries) if with_self_key else ints(0),
    )


def _groups(length: int) -> int:
    """The number of groups, one of them for absent queries."""
    return length // GROUP + 2


def _steps(slots: Int[Tensor, "batch heads orderings length"]) -> tuple[int, int, int, int]:
    return slots.stride(0), slots.stride(1), slots.stride(2), slots.stride(3)


def _sorted(
    slots: Int[Tensor, "batch heads orderings length"],
) -> tuple[
    Int[Tensor, "batch heads orderings length"],
    Int[Tensor, "batch heads orderings length"],
    Int[Tensor, "batch heads orderings"],
]:
    """Tokens sorted by slot, int32; the slots in that order, int64; and the number of present tokens, int32."""
    from reformer.ops.window_attention.triton_kernels import sorting

    batch, heads, orderings, length = slots.shape
    rows = batch * heads * orderings
    kinds = min(MOST_KINDS, gpu.next_power_of_2(length // 4, FEWEST_KINDS))
    low = torch.full((rows, kinds), 2**31 - 1, dtype=torch.int32, device=slots.device)
    high = torch.full_like(low, -1)
    present, absent, irregular = torch.zeros(3, rows, dtype=torch.int32, device=slots.device).unbind()
    order = slots.new_empty(slots.shape, dtype=torch.int32)
    in_order = slots.new_empty(slots.shape)
    size, chunk = 1024, max(1024, kinds // 1024)
    blocks, chunks = -(-length // size), -(-kinds // chunk)
    sums = slots.new_empty(rows, chunks)
    shape = (length, heads, orderings, *_steps(slots))
    with gpu.device_guard(slots):
        sorting.bounds[(rows * blocks,)](slots, low, high, present, irregular, *shape, kinds, blocks, block=size)
        sorting.add_up[(rows * chunks,)](low, high, sums, kinds, chunks, block=chunk)
        sorting.begin[(rows * chunks,)](
            low, high, sums, present, irregular, kinds, chunks, block=chunk, wide_blocks=gpu.next_power_of_2(chunks)
        )
        sorting.place[(rows * blocks,)](
            slots, low, present, absent, irregular, order, in_order, *shape, kinds, blocks, block=size
        )
        sorting.sort_irregular[(rows,)](
            slots, irregular, order, in_order, in_order.view(torch.int32), *shape, block=size
        )
    return order, in_order, present.view(batch, heads, orderings)


def _runs(windows: list[int]) -> Iterator[tuple[int, int, int]]:
    """Runs of orderings with one window, which share a launch: the first ordering, their number, and the window."""
    begin = 0
    for window, same in groupby(windows):
        count = len(list(same))
        yield begin, count, window
        begin += count


def reach(window: int, length: int) -> int:
    """A bound of the number of places that a window spans."""
    return min(window, length + 1)


def _see_keys(
    order: Int[Tensor, "batch heads orderings length"],
    in_order: Int[Tensor, "batch heads orderings length"],
    present: Int[Tensor, "batch heads orderings"],
    windows: list[int],
    causal: bool,
) -> tuple[Int[Tensor, "batch heads length orderings"], Int[Tensor, "..."]]:
    """The ranges that keys see as queries; and the keys' places, for several orderings."""
    from reformer.ops.window_attention.triton_kernels import ranges

    batch, heads, orderings, length = order.shape
    several = orderings > 1
    seen = in_order.new_empty(batch, heads, length, orderings)
    places = order.new_empty((batch, heads, length, orderings) if several else 0)
    size = 256
    blocks = -(-length // size)
    for begin, count, window in _runs(windows):
        far = reach(window, length)
        with gpu.device_guard(order):
            ranges.see_keys[(batch * heads * count * blocks,)](
                order, in_order, present, seen, places, length, orderings, begin, count, window, far,
                far.bit_length(), blocks, causal=causal, several=several, block=size,
            )  # fmt: skip
    return seen, places


def _places(
    order: Int[Tensor, "batch heads orderings length"], present: Int[Tensor, "batch heads orderings"]
) -> Int[Tensor, "batch heads length orderings"]:
    from reformer.ops.window_attention.triton_kernels import ranges

    batch, heads, orderings, length = order.shape
    places = order.new_empty(batch, heads, length, orderings)
    size = 1024
    blocks = -(-length // size)
    with gpu.device_guard(order):
        ranges.find_places[(batch * heads * orderings * blocks,)](
            order, present, places, length, orderings, blocks, block=size
        )
    return places


def _see_queries(
    slots: Int[Tensor, "#batch #heads orderings queries"],
    order: Int[Tensor, "#batch #heads orderings length"],
    in_order: Int[Tensor, "#batch #heads orderings length"],
    present: Int[Tensor, "#batch #heads orderings"],
    windows: list[int],
    causal: bool,
    with_self_key: bool,
) -> tuple[
    Int[Tensor, "batch heads queries orderings"], Int[Tensor, "batch heads orderings queries"], int, Int[Tensor, "..."]
]:
    """The ranges that queries see, their groups and the number of groups, and their own keys, for `with_self_key`."""
    from reformer.ops.window_attention.triton_kernels import ranges

    orderings, length, queries = order.shape[2], order.shape[3], slots.shape[3]
    batch, heads = (max(a, b) for a, b in zip(slots.shape[:2], order.shape[:2], strict=True))
    slots = slots.expand(batch, heads, -1, -1)
    seen = slots.new_empty(batch, heads, queries, orderings)
    groups = order.new_empty(batch, heads, orderings, queries)
    self_key = order.new_full((batch, heads, queries), -1) if with_self_key else order.new_empty(0)
    size = 256
    blocks = -(-queries // size)
    for begin, count, window in _runs(windows):
        far = reach(window, length)
        with gpu.device_guard(order):
            ranges.see_queries[(batch * heads * blocks,)](
                slots, order, in_order, present, seen, self_key, groups,
                queries, length, heads, orderings, begin, count, *_steps(slots), *pair_steps(order),
                window, far, far.bit_length() + 1, length.bit_length() + 1, GROUP, _groups(length) - 1, blocks,
                causal=causal, with_self_key=with_self_key, block=size,
            )  # fmt: skip
    return seen, groups, _groups(length), self_key


def pair_steps(rows: Int[Tensor, "batch heads *rest"]) -> tuple[int, int]:
    """Strides of batch and heads in rows, one for each pair of batch item and head; 0 where all share one."""
    batch, heads = rows.shape[:2]
    return heads if batch > 1 else 0, 1 if heads > 1 else 0
