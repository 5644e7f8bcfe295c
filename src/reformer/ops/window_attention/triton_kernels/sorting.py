"""Kernels that sort keys by slot, by counting: `docs/math.md`, 17.

Slots of hash rounds and positions are dense: in each bucket the ranks that occur are consecutive. A key's place is then
the beginning of its bucket plus its rank minus the bucket's least rank, and no key is compared with another. `bounds`
finds each bucket's ranks, `add_up` and `begin` its beginning, and `place` stores. Slots with gaps mark their row as
irregular, on the device, and `sort_irregular` sorts such a row bit by bit, so that the host never waits for an answer.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
from typing import no_type_check

import triton
import triton.language as tl

from reformer.ops.orderings.layout import BUCKET_STRIDE

RANK_BITS = tl.constexpr(BUCKET_STRIDE.bit_length() - 1)
RANK_MASK = tl.constexpr(BUCKET_STRIDE - 1)
NO_RANK = tl.constexpr(2**31 - 1)
"""The initial value of `low`; ranks from here on make a row irregular."""
ABSENT = tl.constexpr(2**63 - 1)
"""Stands for the slot of an absent key, behind every other."""


@triton.jit
@no_type_check
def _slot(slots, row, heads, orderings, batch_step, head_step, ordering_step, token_step, token, inside):
    """The slots of some tokens of one row, -1 outside."""
    item, rest = row // (heads * orderings), row % (heads * orderings)
    start = item * batch_step + (rest // orderings) * head_step + (rest % orderings) * ordering_step
    return tl.load(slots + start + token * token_step, mask=inside, other=-1)


@triton.jit
@no_type_check
def bounds(
    slots, low, high, present, irregular, length, heads, orderings, batch_step, head_step, ordering_step, token_step,
    kinds, blocks, block: tl.constexpr,
):  # fmt: skip
    """One program a row and block of keys: each bucket's least and greatest rank, the number of present keys, and
    whether the row is irregular."""
    program = tl.program_id(0).to(tl.int64)
    row = program // blocks
    token = (program % blocks) * block + tl.arange(0, block)
    slot = _slot(slots, row, heads, orderings, batch_step, head_step, ordering_step, token_step, token, token < length)
    real = slot >= 0
    bucket = slot >> RANK_BITS
    rank = slot & RANK_MASK
    fits = real & (bucket < kinds) & (rank < NO_RANK)
    rank = rank.to(tl.int32)
    tl.atomic_add(present + row, tl.sum(real.to(tl.int32), 0), sem="relaxed")
    strange = tl.sum((real & (fits == 0)).to(tl.int32), 0)
    if strange > 0:
        tl.store(irregular + row, 1)
    least = tl.min(tl.where(fits, bucket, kinds), 0)
    greatest = tl.max(tl.where(fits, bucket, -1), 0)
    if least == greatest:
        # All atomic operations of a block on one address, as in the position ordering, would wait for each other.
        tl.atomic_min(low + row * kinds + least, tl.min(tl.where(fits, rank, NO_RANK), 0), sem="relaxed")
        tl.atomic_max(high + row * kinds + least, tl.max(tl.where(fits, rank, -1), 0), sem="relaxed")
    else:
        tl.atomic_min(low + row * kinds + bucket, rank, mask=fits, sem="relaxed")
        tl.atomic_max(high + row * kinds + bucket, rank, mask=fits, sem="relaxed")


@triton.jit
@no_type_check
def _extent(low, high, at, inside):
    least = tl.load(low + at, mask=inside, other=0)
    greatest = tl.load(high + at, mask=inside, other=-1)
    return least, tl.where(greatest >= 0, greatest.to(tl.int64) - least + 1, 0)


@triton.jit
@no_type_check
def add_up(low, high, sums, kinds, blocks, block: tl.constexpr):
    """One program a row and block of buckets: the number of places of all of them."""
    program = tl.program_id(0).to(tl.int64)
    bucket = (program % blocks) * block + tl.arange(0, block)
    _, extent = _extent(low, high, (program // blocks) * kinds + bucket, bucket < kinds)
    tl.store(sums + program, tl.sum(extent, 0))


@triton.jit
@no_type_check
def begin(low, high, sums, present, irregular, kinds, blocks, block: tl.constexpr, wide_blocks: tl.constexpr):
    """One program a row and block of buckets: `low` becomes the number that a rank is added to for its place."""
    program = tl.program_id(0).to(tl.int64)
    row, part = program // blocks, program % blocks
    others = tl.arange(0, wide_blocks)
    sizes = tl.load(sums + row * blocks + others, mask=others < blocks, other=0)
    before = tl.sum(tl.where(others < part, sizes, 0), 0)
    bucket = part * block + tl.arange(0, block)
    least, extent = _extent(low, high, row * kinds + bucket, bucket < kinds)
    first = before + tl.cumsum(extent, 0) - extent
    tl.store(low + row * kinds + bucket, (first - least).to(tl.int32), mask=bucket < kinds)
    if part == 0:
        if tl.sum(sizes, 0) != tl.load(present + row):
            tl.store(irregular + row, 1)


@triton.jit
@no_type_check
def place(
    slots, low, present, absent, irregular, order, in_order, length, heads, orderings,
    batch_step, head_step, ordering_step, token_step, kinds, blocks, block: tl.constexpr,
):  # fmt: skip
    """One program a row and block of keys: store each key at its place in `order`, its slot in `in_order`, absent keys
    behind all others.

    The order of absent keys depends on which program comes first; no result depends on it.
    """
    program = tl.program_id(0).to(tl.int64)
    row = program // blocks
    if tl.load(irregular + row) == 0:
        token = (program % blocks) * block + tl.arange(0, block)
        inside = token < length
        slot = _slot(slots, row, heads, orderings, batch_step, head_step, ordering_step, token_step, token, inside)
        real = slot >= 0
        rank = (slot & RANK_MASK).to(tl.int32)
        at = tl.load(low + row * kinds + (slot >> RANK_BITS), mask=real, other=0) + rank
        missing = (inside & (slot < 0)).to(tl.int32)
        behind = tl.load(present + row) + tl.atomic_add(absent + row, tl.sum(missing, 0), sem="relaxed")
        at = tl.where(real, at, behind + tl.cumsum(missing, 0) - 1)
        tl.store(order + row * length + at, token.to(tl.int32), mask=inside)
        tl.store(in_order + row * length + at, tl.where(real, slot, ABSENT), mask=inside)


@triton.jit
@no_type_check
def _ranked(
    slots, row, heads, orderings, batch_step, head_step, ordering_step, token_step, token, inside,
):  # fmt: skip
    slot = _slot(slots, row, heads, orderings, batch_step, head_step, ordering_step, token_step, token, inside)
    return tl.where(slot >= 0, slot, ABSENT)


@triton.jit
@no_type_check
def sort_irregular(
    slots, irregular, order, in_order, scratch, length, heads, orderings,
    batch_step, head_step, ordering_step, token_step, block: tl.constexpr,
):  # fmt: skip
    """One program a row, which returns at once unless the row is irregular: a stable sort, bit by bit.

    Args:
        scratch: the memory of `in_order` as int32, with space for two orders until the last step stores slots there.
    """
    row = tl.program_id(0).to(tl.int64)
    if tl.load(irregular + row) != 0:
        scratch += row * 2 * length
        every, any_ = tl.full((block,), ABSENT, tl.int64), tl.zeros((block,), tl.int64)
        for start in range(0, length, block):
            token = start + tl.arange(0, block)
            slot = _ranked(
                slots, row, heads, orderings, batch_step, head_step, ordering_step, token_step, token, token < length
            )
            every &= tl.where(token < length, slot, ABSENT)
            any_ |= tl.where(token < length, slot, 0)
            tl.store(scratch + token, token.to(tl.int32), mask=token < length)
        tl.debug_barrier()
        filled = 0
        for bit in range(63):
            ones = tl.sum((any_ >> bit) & 1, 0)
            zeros = tl.sum(1 - ((every >> bit) & 1), 0)
            if (ones > 0) & (zeros > 0):
                low = 0
                for start in range(0, length, block):
                    at = start + tl.arange(0, block)
                    token = tl.load(scratch + filled * length + at, mask=at < length, other=0).to(tl.int64)
                    slot = _ranked(
                        slots, row, heads, orderings, batch_step, head_step, ordering_step, token_step, token,
                        at < length,
                    )  # fmt: skip
                    low += tl.sum(((at < length) & ((slot >> bit) & 1 == 0)).to(tl.int32), 0)
                next_low, next_high = 0, low
                for start in range(0, length, block):
                    at = start + tl.arange(0, block)
                    inside = at < length
                    token = tl.load(scratch + filled * length + at, mask=inside, other=0)
                    slot = _ranked(
                        slots, row, heads, orderings, batch_step, head_step, ordering_step, token_step,
                        token.to(tl.int64), inside,
                    )  # fmt: skip
                    one = ((slot >> bit) & 1 == 1) & inside
                    zero = inside & (one == 0)
                    to = tl.where(
                        one,
                        next_high + tl.cumsum(one.to(tl.int32), 0) - 1,
                        next_low + tl.cumsum(zero.to(tl.int32), 0) - 1,
                    )
                    tl.store(scratch + (1 - filled) * length + to, token, mask=inside)
                    next_low += tl.sum(zero.to(tl.int32), 0)
                    next_high += tl.sum(one.to(tl.int32), 0)
                tl.debug_barrier()
                filled = 1 - filled
        for start in range(0, length, block):
            at = start + tl.arange(0, block)
            token = tl.load(scratch + filled * length + at, mask=at < length, other=0)
            tl.store(order + row * length + at, token, mask=at < length)
        tl.debug_barrier()
        for start in range(0, length, block):
            at = start + tl.arange(0, block)
            token = tl.load(order + row * length + at, mask=at < length, other=0).to(tl.int64)
            slot = _ranked(
                slots, row, heads, orderings, batch_step, head_step, ordering_step, token_step, token, at < length
            )
            tl.store(in_order + row * length + at, slot, mask=at < length)
