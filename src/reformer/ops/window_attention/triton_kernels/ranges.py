"""Kernels that turn slots and windows into ranges of places in the sorted row (`docs/math.md`, 18).

In a row sorted by slot the keys near to a query are one range of places. Later kernels need neither slots nor windows
nor the direction: key `j` at place `p` is near to query `i` if `p - low(i)`, unsigned, is below `size(i)`. Both are
packed into one 64-bit number; an absent query has size 0, an absent key place -1.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def _first_from(in_order, target, low, high, steps):
    """The first place from `low` on whose slot is not below the target, `high` at most, by bisection."""
    for _ in range(steps):
        between = low + (high - low) // 2
        searching = low < high
        below = tl.load(in_order + between, mask=searching, other=0) < target
        low = tl.where(searching & below, between + 1, low)
        high = tl.where(searching & (below == 0), between, high)
    return low


@triton.jit
@no_type_check
def _pack(low, high):
    return (low.to(tl.int64) << 32) | (high - low).to(tl.int64)


@triton.jit
@no_type_check
def see_keys(
    order, in_order, present, seen, places, length, orderings, begin, count, window, reach, steps, blocks,
    causal: tl.constexpr, several: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """One program a row of one window and block of places: the range that each key sees as a query.

    Args:
        begin, count: the orderings that have this window.
        reach: the window, or one more than the length if that is less.
        steps: of the bisection, as many as `reach` has bits.
        places: int32 `[..., length, orderings]`, each key's place, for `several` orderings.
    """
    program = tl.program_id(0).to(tl.int64)
    row = program // blocks
    pair, ordering = row // count, begin + row % count
    row = pair * orderings + ordering
    in_order += row * length
    at = ((program % blocks) * block + tl.arange(0, block)).to(tl.int32)
    inside = at < length
    last = tl.load(present + row)
    real = at < last
    token = tl.load(order + row * length + at, mask=inside, other=0).to(tl.int64)
    slot = tl.load(in_order + at, mask=real, other=0)
    low = _first_from(in_order, slot - (window - 1), tl.maximum(at - (reach - 1), 0), tl.where(real, at, 0), steps)
    high = at + 1
    if not causal:
        high = _first_from(in_order, slot + window, tl.where(real, high, last), tl.minimum(at + reach, last), steps)
    to = (pair * length + token) * orderings + ordering
    tl.store(seen + to, tl.where(real, _pack(low, high), 0), mask=inside)
    if several:
        tl.store(places + to, tl.where(real, at, -1), mask=inside)


@triton.jit
@no_type_check
def find_places(order, present, places, length, orderings, blocks, block: tl.constexpr):
    """One program a row and block of places: the place of each key, -1 if it is absent."""
    program = tl.program_id(0).to(tl.int64)
    row = program // blocks
    at = ((program % blocks) * block + tl.arange(0, block)).to(tl.int32)
    inside = at < length
    token = tl.load(order + row * length + at, mask=inside, other=0).to(tl.int64)
    to = ((row // orderings) * length + token) * orderings + row % orderings
    tl.store(places + to, tl.where(at < tl.load(present + row), at, -1), mask=inside)


@triton.jit
@no_type_check
def see_queries(
    slots, order, in_order, present, seen, self_key, groups, queries, length, heads, orderings, begin, count,
    batch_step, head_step, ordering_step, token_step, key_batch, key_head,
    window, reach, steps, all_steps, group, absent_group, blocks,
    causal: tl.constexpr, with_self_key: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """One program a pair of batch item and head and block of queries: the range of the keys' row that each query sees.

    Args:
        seen: int64 `[batch, heads, queries, orderings]`.
        self_key: int32 `[batch, heads, queries]`, the key at the query's own slot, for `with_self_key`.
        groups: int32 `[batch, heads, orderings, queries]`, the query's place among the keys divided by `group`, or
            `absent_group`. Sorted by these, neighbouring queries see nearly the same keys.
        key_batch, key_head: strides of batch and heads in rows of keys; 0 where they share one.
    """
    program = tl.program_id(0).to(tl.int64)
    pair = program // blocks
    item, head = pair // heads, pair % heads
    token = (program % blocks) * block + tl.arange(0, block)
    inside = token < queries
    for ordering in range(begin, begin + count):
        start = item * batch_step + head * head_step + ordering * ordering_step
        slot = tl.load(slots + start + token * token_step, mask=inside, other=-1)
        row = (item * key_batch + head * key_head) * orderings + ordering
        here = in_order + row * length
        last = tl.load(present + row)
        real = slot >= 0
        none = tl.zeros((block,), tl.int32)
        upto = _first_from(here, slot + 1, none, none + tl.where(real, last, 0), all_steps)
        low = _first_from(here, slot - (window - 1), tl.maximum(upto - reach, 0), upto, steps)
        high = upto
        if not causal:
            end = tl.where(real, tl.minimum(upto + (reach - 1), last), upto)
            high = _first_from(here, slot + window, upto, end, steps)
        to = (pair * queries + token) * orderings + ordering
        tl.store(seen + to, tl.where(real, _pack(low, high), 0), mask=inside)
        to = (pair * orderings + ordering) * queries + token
        tl.store(groups + to, tl.where(real, upto // group, absent_group), mask=inside)
        if with_self_key:
            is_key = real & (upto > 0)
            is_key &= tl.load(here + upto - 1, mask=is_key, other=-1) == slot
            key = tl.load(order + row * length + upto - 1, mask=is_key, other=-1)
            tl.store(self_key + pair * queries + token, key, mask=is_key)
