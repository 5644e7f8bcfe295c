"""Kernels that count small numbers in rows: ranks among equal numbers, and a sort by number.

A row (one batch item, head and round) is cut into segments. `count` fills a table `[row, segment, number]`, `scan`
turns counts into sums over the segments before, and `rank` walks each segment in order. Only integers are added, so the
result does not depend on which program comes first.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def count(
    numbers, mask, table, length, rows_per_item, kinds, segments, segment,
    masked: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """One program a row and segment: the count of each number in it."""
    program = tl.program_id(0).to(tl.int64)
    row, part = program // segments, program % segments
    table += program * kinds
    end = tl.minimum((part + 1) * segment, length)
    for begin in range(part * segment, end, block):
        token = begin + tl.arange(0, block)
        there = token < end
        if masked:
            there &= tl.load(mask + (row // rows_per_item) * length + token, mask=there, other=0) != 0
        number = tl.load(numbers + row * length + token, mask=there, other=0).to(tl.int64)
        there &= (number >= 0) & (number < kinds)
        tl.atomic_add(table + number, 1, mask=there, sem="relaxed")


@triton.jit
@no_type_check
def scan(table, totals, kinds, segments, blocks, block: tl.constexpr):
    """One program a row and block of numbers: counts become sums over the segments before, and `totals` over all."""
    program = tl.program_id(0).to(tl.int64)
    row = program // blocks
    number = (program % blocks) * block + tl.arange(0, block)
    there = number < kinds
    table += row * segments * kinds + number
    before = tl.zeros((block,), tl.int32)
    for _ in range(segments):
        here = tl.load(table, mask=there, other=0)
        tl.store(table, before, mask=there)
        before += here
        table += kinds
    tl.store(totals + row * kinds + number, before, mask=there)


@triton.jit
@no_type_check
def rank(
    keys, queries, key_mask, query_mask, table, slots, length, rows_per_item, kinds, segments, segment, stride,
    masked: tl.constexpr, queries_masked: tl.constexpr, with_queries: tl.constexpr, causal: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    """One program a row and segment: `number * stride + rank` of each key, or of the queries beside them.

    A key's rank is the number of earlier keys with its number. A query's rank is that of the last key with its number
    up to it; without such a key it is 0, or the query absent if causal. Masked tokens are absent, -1.
    """
    program = tl.program_id(0).to(tl.int64)
    row, part = program // segments, program % segments
    item = row // rows_per_item
    table += program * kinds
    end = tl.minimum((part + 1) * segment, length)
    earlier = tl.arange(0, block)[:, None] > tl.arange(0, block)[None, :]
    for begin in range(part * segment, end, block):
        token = begin + tl.arange(0, block)
        inside = token < end
        real = inside
        if masked:
            real &= tl.load(key_mask + item * length + token, mask=inside, other=0) != 0
        key = tl.load(keys + row * length + token, mask=real, other=-1).to(tl.int64)
        same = (key[:, None] == key[None, :]) & real[None, :]
        before = tl.load(table + key, mask=real, other=0)
        if with_queries:
            real_query = inside
            if queries_masked:
                real_query &= tl.load(query_mask + item * length + token, mask=inside, other=0) != 0
            query = tl.load(queries + row * length + token, mask=real_query, other=-2).to(tl.int64)
            same_before = tl.load(table + query, mask=real_query, other=0)
            met = (query[:, None] == key[None, :]) & real[None, :]
            met &= earlier | (tl.arange(0, block)[:, None] == tl.arange(0, block)[None, :])
            same_before += tl.sum(met.to(tl.int32), 1)
            slot = query * stride + tl.maximum(same_before - 1, 0)
            slot = tl.where(real_query & ((same_before > 0) | (not causal)), slot, -1)
        else:
            slot = tl.where(real, key * stride + before + tl.sum((same & earlier).to(tl.int32), 1), -1)
        tl.store(slots + row * length + token, slot, mask=inside)
        # Without the barriers a thread could store into the table before another has loaded from it, or load in the
        # next block before another has stored.
        tl.debug_barrier()
        tl.store(table + key, before + tl.sum(same.to(tl.int32), 1), mask=real)
        tl.debug_barrier()


@triton.jit
@no_type_check
def middle(
    queries, query_mask, totals, slots, length, rows_per_item, kinds, blocks, stride,
    masked: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Slots of queries of another sequence: the middle of the row of their number, also where it has few keys."""
    program = tl.program_id(0).to(tl.int64)
    row = program // blocks
    token = (program % blocks) * block + tl.arange(0, block)
    inside = token < length
    real = inside
    if masked:
        real &= tl.load(query_mask + (row // rows_per_item) * length + token, mask=inside, other=0) != 0
    query = tl.load(queries + row * length + token, mask=real, other=0).to(tl.int64)
    total = tl.load(totals + row * kinds + query, mask=real, other=0)
    tl.store(slots + row * length + token, tl.where(real, query * stride + total // 2, -1), mask=inside)


@triton.jit
@no_type_check
def file_away(
    numbers, table, totals_before, order, length, kinds, segments, segment, block: tl.constexpr,
):  # fmt: skip
    """As `rank`, but stores each token at its place in the row sorted by number; the sort is stable."""
    program = tl.program_id(0).to(tl.int64)
    row, part = program // segments, program % segments
    table += program * kinds
    end = tl.minimum((part + 1) * segment, length)
    earlier = tl.arange(0, block)[:, None] > tl.arange(0, block)[None, :]
    for begin in range(part * segment, end, block):
        token = begin + tl.arange(0, block)
        inside = token < end
        number = tl.load(numbers + row * length + token, mask=inside, other=-1)
        same = (number[:, None] == number[None, :]) & inside[None, :]
        before = tl.load(table + number, mask=inside, other=0)
        place = before + tl.sum((same & earlier).to(tl.int32), 1)
        place += tl.load(totals_before + row * (kinds + 1) + number, mask=inside, other=0)
        tl.store(order + row * length + place, token.to(tl.int32), mask=inside)
        tl.debug_barrier()
        tl.store(table + number, before + tl.sum(same.to(tl.int32), 1), mask=inside)
        tl.debug_barrier()
