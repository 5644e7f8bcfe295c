"""The forward kernel: one program a tile of queries and head, one ordering a launch (equations 6 to 12)."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
from typing import no_type_check

import triton
import triton.language as tl

from reformer.ops.window_attention.triton_kernels.tiles import (
    LOG2_E,
    block_of,
    exact_scale,
    put,
    range_of,
    rows,
    tile_of,
    to_base_2,
    workplace,
)
from reformer.ops.window_attention.triton_kernels.transforms import transformed


@triton.jit
@no_type_check
def _block(
    start, end, query, token, self_key, inside, low, size, largest, total, result,
    key, value, key_step, value_step, order, seen, places, orderings, ordering, scale, shortest, coefficients,
    shared_keys: tl.constexpr, first: tl.constexpr, deduplicate: tl.constexpr, attend_self: tl.constexpr,
    dim: tl.constexpr, wide: tl.constexpr, keys: tl.constexpr, precision: tl.constexpr, exact: tl.constexpr,
    product: tl.constexpr, count: tl.constexpr, transform: tl.constexpr,
):  # fmt: skip
    """The running maximum, sum and result of a tile of queries after one more block of keys."""
    self_only = tl.zeros_like(low) != 0
    other, here, _, _, score, met = block_of(
        start, end, query, token, self_key, inside, low, size, self_only,
        key, key_step, order, seen, places, orderings, ordering, scale, shortest,
        shared_keys, first, deduplicate, attend_self, dim, wide, keys, precision, exact, product,
    )  # fmt: skip
    if transform:
        score = transformed(score, coefficients, count, transform) * LOG2_E
    score = tl.where(met, score, float("-inf"))
    now = tl.maximum(largest, tl.max(score, 1))
    # Where nothing is seen yet, minus infinity minus itself is NaN.
    base = tl.where(now == float("-inf"), 0.0, now)
    weight = tl.exp2(score - base[:, None])
    fade = tl.exp2(largest - base)
    total = total * fade + tl.sum(weight, 1)
    value_tile = rows(value, other, value_step, here, dim, wide, product)
    result = result * fade[:, None]
    result += tl.dot(weight.to(value_tile.dtype), value_tile, input_precision=precision, out_dtype=exact)
    return now, total, result


@triton.jit
@no_type_check
def forward(
    query, key, value, output, log_sum, running, query_order, key_order, seen, places, self_key,
    query_batch, query_head, query_step, key_batch, key_head, key_step, value_batch, value_head, value_step,
    output_batch, output_head, output_step, row_batch, row_head, key_row_batch, key_row_head,
    heads, queries, length, orderings, ordering, tiles, scale_high, scale_low, shortest, coefficients,
    first: tl.constexpr, last: tl.constexpr, one_row: tl.constexpr, shared_keys: tl.constexpr,
    deduplicate: tl.constexpr, attend_self: tl.constexpr, dim: tl.constexpr, wide: tl.constexpr,
    tile: tl.constexpr, keys: tl.constexpr, precision: tl.constexpr, exact: tl.constexpr, product: tl.constexpr,
    count: tl.constexpr, transform: tl.constexpr,
):  # fmt: skip
    """Add one ordering to the running output and log-sum-exp of the orderings before (equation 12).

    Args:
        query, key, value, output: steps between batch items, heads and tokens; components are contiguous.
        log_sum: `[batch, heads, queries]`, to base 2. After the last ordering `inf` for a query that sees nothing, and
            `-inf` for one that sees only itself.
        running: `[batch, heads, queries, dim]` in the accumulators' dtype; output is written by the `last` ordering.
        query_order, key_order: int32 `[..., orderings, queries or length]`: the tokens of each row.
        seen, places, self_key: see `ranges`.
        row_batch, ..., key_row_head: strides of batch and heads in rows, one for each pair of batch item and head.
        one_row: queries are keys and stand in the keys' row.
        shared_keys: keys are the queries, to be divided by their lengths.
        precision: of products of float32. exact: the dtype of sums. product: the dtype of factors.
        coefficients: `[heads, count]` in the accumulators' dtype. transform: the number of the score transform, 0 for
            none.
    """
    program = tl.program_id(0).to(tl.int64)
    part, pair, item, head, row, key_row = workplace(
        program, tiles, heads, row_batch, row_head, key_row_batch, key_row_head
    )
    seen += row * queries * orderings
    places += key_row * length * orderings
    key_order += (key_row * orderings + ordering) * length
    key += item * key_batch + head * key_head
    value += item * value_batch + head * value_head
    if transform:
        coefficients += head * count
    token, inside, low, size, tile_of_queries, itself = tile_of(
        query + item * query_batch + head * query_head, query_step,
        query_order + (row * orderings + ordering) * queries, seen, self_key + row * queries,
        part * tile + tl.arange(0, tile), queries, orderings, ordering,
        one_row, attend_self, dim, wide, product,
    )  # fmt: skip
    log_sum += pair * queries
    running += pair * queries * dim
    if first:
        largest = tl.full((tile,), float("-inf"), exact)
        total = tl.zeros((tile,), exact)
        result = tl.zeros((tile, wide), exact)
    else:
        largest = tl.load(log_sum + token, mask=inside, other=float("-inf"))
        total = tl.where(largest == float("-inf"), 0.0, 1.0).to(exact)
        result = rows(running, token, dim, inside, dim, wide, exact)
    scale = exact_scale(scale_high, scale_low, exact) * to_base_2(transform)
    start = tl.min(tl.where(size > 0, low, length), 0)
    end = tl.max(tl.where(size > 0, low + size, 0), 0)
    if one_row:
        for begin in range(start, end, keys):
            largest, total, result = _block(
                begin, end, tile_of_queries, token, itself, inside, low, size, largest, total, result,
                key, value, key_step, value_step, key_order, seen, places, orderings, ordering,
                scale, shortest, coefficients,
                shared_keys, first, deduplicate, attend_self, dim, wide, keys, precision, exact, product,
                count, transform,
            )  # fmt: skip
    else:
        while start < end:
            largest, total, result = _block(
                start, end, tile_of_queries, token, itself, inside, low, size, largest, total, result,
                key, value, key_step, value_step, key_order, seen, places, orderings, ordering,
                scale, shortest, coefficients,
                shared_keys, first, deduplicate, attend_self, dim, wide, keys, precision, exact, product,
                count, transform,
            )  # fmt: skip
            # Between queries that stand far apart are keys that no query of this tile sees.
            start += keys
            start = tl.min(tl.where((size > 0) & (low + size > start), tl.maximum(low, start), length), 0)
    # `total > 0` would turn a NaN, which fails every comparison, into a query that sees nothing.
    empty = total == 0
    result = result / tl.where(empty, 1.0, total)[:, None]
    new_log_sum = tl.where(empty, float("-inf"), largest + tl.log2(tl.where(empty, 1.0, total)))
    if last:
        self_only = empty & inside
        if attend_self:
            self_only = empty & (token < 0)
        elif one_row:
            present = size
            for each in range(orderings):
                _, there = range_of(seen, token * orderings + each, inside)
                present = tl.maximum(present, there)
            self_only &= present > 0
        else:
            self_only &= itself >= 0
        new_log_sum = tl.where(empty & (self_only == 0), float("inf"), new_log_sum)
        if not attend_self:
            if tl.max(self_only.to(tl.int32), 0) > 0:
                result += rows(value, itself, value_step, self_only, dim, wide, product).to(exact)
        put(output + item * output_batch + head * output_head, token, output_step, inside, result, dim, wide)
    else:
        put(running, token, dim, inside, result, dim, wide)
    tl.store(log_sum + token, new_log_sum, mask=inside)
