"""The backward kernels, which recompute weights from the merged log-sum-exp (equation 13).

Gradients of queries come from tiles of queries, those of keys and values from tiles of keys, so every sum is made by
one program in one order: no atomic additions, and equal runs give equal bits.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
from typing import no_type_check

import triton
import triton.language as tl

from reformer.ops.window_attention.triton_kernels.tiles import (
    LOG2_E,
    block_of,
    exact_scale,
    inverse_lengths,
    pairs,
    put,
    rows,
    tile_of,
    to_base_2,
    workplace,
)
from reformer.ops.window_attention.triton_kernels.transforms import (
    MOST_COEFFICIENTS,
    add_up,
    pulled_back,
    transformed,
)


@triton.jit
@no_type_check
def _through_softmax(
    score, met, grad_weight, log_sum, delta, self_only, sums, coefficients,
    count: tl.constexpr, transform: tl.constexpr,
):  # fmt: skip
    """Each pair's weight in the softmax over the union, its score's gradient, and `sums` plus the coefficients'."""
    exponent = score
    if transform:
        exponent = transformed(score, coefficients, count, transform) * LOG2_E
    # A query that sees nothing has a log-sum-exp of infinity, and weights of zero; one that sees only itself has minus
    # infinity, and a weight of one.
    alone = self_only[:, None]
    exponent = tl.where(alone, 0.0, exponent - tl.where(self_only, 0.0, log_sum)[:, None])
    weight = tl.exp2(tl.where(met, exponent, float("-inf")))
    # A softmax of one score is one, whatever the score.
    grad_score = tl.where(alone, 0.0, weight * (grad_weight - delta[:, None]))
    if transform:
        grad_score, sums = pulled_back(score, grad_score, sums, coefficients, count, transform)
    return weight, grad_score, sums


@triton.jit
@no_type_check
def _query_block(
    start, end, query, grad, token, self_key, inside, low, size, log_sum, delta, self_only, result, sums,
    key, value, key_step, value_step, order, seen, places, orderings, ordering, scale, shortest, coefficients,
    shared_keys: tl.constexpr, first: tl.constexpr, deduplicate: tl.constexpr, attend_self: tl.constexpr,
    dim: tl.constexpr, wide: tl.constexpr, keys: tl.constexpr, precision: tl.constexpr, exact: tl.constexpr,
    product: tl.constexpr, count: tl.constexpr, transform: tl.constexpr,
):  # fmt: skip
    """The gradients of a tile of queries, without the scale, and of the coefficients after one more block of keys."""
    other, here, key_tile, inverse, score, met = block_of(
        start, end, query, token, self_key, inside, low, size, self_only,
        key, key_step, order, seen, places, orderings, ordering, scale, shortest,
        shared_keys, first, deduplicate, attend_self, dim, wide, keys, precision, exact, product,
    )  # fmt: skip
    value_tile = rows(value, other, value_step, here, dim, wide, product)
    grad_weight = tl.dot(grad, tl.trans(value_tile), input_precision=precision, out_dtype=exact)
    _, grad_score, sums = _through_softmax(
        score, met, grad_weight, log_sum, delta, self_only, sums, coefficients, count, transform
    )
    if shared_keys:
        grad_score *= inverse[None, :]
    result += tl.dot(grad_score.to(key_tile.dtype), key_tile, input_precision=precision, out_dtype=exact)
    return result, sums


@triton.jit
@no_type_check
def backward_queries(
    query, key, value, output, grad_output, grad_query, log_sum, delta, running, grad_coefficients,
    query_order, key_order, seen, places, self_key,
    query_batch, query_head, query_step, key_batch, key_head, key_step, value_batch, value_head, value_step,
    output_batch, output_head, output_step, grad_batch, grad_head, grad_step,
    result_batch, result_head, result_step, row_batch, row_head, key_row_batch, key_row_head,
    heads, queries, length, orderings, ordering, tiles, scale_high, scale_low, shortest, coefficients,
    all_tiles, tiles_before,
    first: tl.constexpr, last: tl.constexpr, one_row: tl.constexpr, shared_keys: tl.constexpr,
    deduplicate: tl.constexpr, attend_self: tl.constexpr, dim: tl.constexpr, wide: tl.constexpr,
    tile: tl.constexpr, keys: tl.constexpr, precision: tl.constexpr, exact: tl.constexpr, product: tl.constexpr,
    count: tl.constexpr, transform: tl.constexpr,
):  # fmt: skip
    """As `forward`, for the gradient of the queries; the `first` ordering stores `delta` for all later launches.

    Args:
        running: the gradient between orderings, and after the last one if that of `shared_keys` is still to be added.
        grad_coefficients: `[batch * heads, all_tiles, count]`, the part of each tile in the gradient of its head's
            coefficients, tiles of all orderings side by side; `tiles_before` are those of the orderings before.
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
    grad_output += item * grad_batch + head * grad_head
    log_sums = tl.load(log_sum + pair * queries + token, mask=inside, other=float("inf"))
    saw = inside & (log_sums != float("inf"))
    grad = rows(grad_output, token, grad_step, saw, dim, wide, product)
    if first:
        out = rows(output + item * output_batch + head * output_head, token, output_step, saw, dim, wide, product)
        deltas = tl.sum(grad.to(exact) * out.to(exact), 1)
        tl.store(delta + pair * queries + token, deltas, mask=inside)
        result = tl.zeros((tile, wide), exact)
    else:
        deltas = tl.load(delta + pair * queries + token, mask=inside, other=0.0)
        result = rows(running + pair * queries * dim, token, dim, inside, dim, wide, exact)
    self_only = log_sums == float("-inf")
    scale = exact_scale(scale_high, scale_low, exact)
    exponent_scale = scale * to_base_2(transform)
    sums = tl.zeros((MOST_COEFFICIENTS,), exact)
    added = tl.zeros((tile, wide), exact)
    start = tl.min(tl.where(size > 0, low, length), 0)
    end = tl.max(tl.where(size > 0, low + size, 0), 0)
    if one_row:
        for begin in range(start, end, keys):
            added, sums = _query_block(
                begin, end, tile_of_queries, grad, token, itself, inside, low, size, log_sums, deltas, self_only, added,
                sums,
                key, value, key_step, value_step, key_order, seen, places, orderings, ordering,
                exponent_scale, shortest, coefficients,
                shared_keys, first, deduplicate, attend_self, dim, wide, keys, precision, exact, product,
                count, transform,
            )  # fmt: skip
    else:
        while start < end:
            added, sums = _query_block(
                start, end, tile_of_queries, grad, token, itself, inside, low, size, log_sums, deltas, self_only, added,
                sums,
                key, value, key_step, value_step, key_order, seen, places, orderings, ordering,
                exponent_scale, shortest, coefficients,
                shared_keys, first, deduplicate, attend_self, dim, wide, keys, precision, exact, product,
                count, transform,
            )  # fmt: skip
            start += keys
            start = tl.min(tl.where((size > 0) & (low + size > start), tl.maximum(low, start), length), 0)
    result += added * scale
    if transform:
        add_up(sums, grad_coefficients + (pair * all_tiles + tiles_before + part) * count, count)
    if last and not shared_keys:
        put(grad_query + item * result_batch + head * result_head, token, result_step, inside, result, dim, wide)
    else:
        put(running + pair * queries * dim, token, dim, inside, result, dim, wide)


@triton.jit
@no_type_check
def backward_keys(
    query, key, value, grad_output, grad_query, grad_key, grad_value, log_sum, delta,
    running_query, running_key, running_value,
    query_order, key_order, seen, places, self_key, present, begins,
    query_batch, query_head, query_step, key_batch, key_head, key_step, value_batch, value_head, value_step,
    grad_batch, grad_head, grad_step, to_query_batch, to_query_head, to_query_step,
    to_key_batch, to_key_head, to_key_step, to_value_batch, to_value_head, to_value_step,
    row_batch, row_head, key_row_batch, key_row_head,
    heads, queries, length, orderings, ordering, tiles, reach, group, groups, scale_high, scale_low, shortest,
    coefficients,
    first: tl.constexpr, last: tl.constexpr, one_row: tl.constexpr, shared_keys: tl.constexpr,
    causal: tl.constexpr, deduplicate: tl.constexpr, attend_self: tl.constexpr,
    dim: tl.constexpr, wide: tl.constexpr, tile: tl.constexpr, keys: tl.constexpr,
    precision: tl.constexpr, exact: tl.constexpr, product: tl.constexpr,
    count: tl.constexpr, transform: tl.constexpr,
):  # fmt: skip
    """One program a block of keys and head: the gradients of keys and values from the queries that see them.

    Args:
        present: the number of present keys in each row.
        begins: `[..., orderings, groups + 1]`, where each group of queries begins, if queries are not in the keys' row.
            A query's group is its place among the keys, divided by `group`.
        reach: the window, or one more than the length if that is less: a bound of the distance, in places, between a
            query and the keys it sees.
        shared_keys: the gradient of the keys is taken through the division by their lengths, and added to `grad_query`.
    """
    program = tl.program_id(0).to(tl.int64)
    part, pair, item, head, row, key_row = workplace(
        program, tiles, heads, row_batch, row_head, key_row_batch, key_row_head
    )
    if transform:
        coefficients += head * count
    first_place = (part * keys).to(tl.int32)
    place = first_place + tl.arange(0, keys)
    inside_keys = place < length
    stand = tl.load(present + key_row * orderings + ordering)
    here = place < stand
    other = tl.load(key_order + (key_row * orderings + ordering) * length + place, mask=inside_keys, other=0)
    other = other.to(tl.int64)
    seen += row * queries * orderings
    places += key_row * length * orderings
    query_order += (row * orderings + ordering) * queries
    self_key += row * queries
    query += item * query_batch + head * query_head
    grad_output += item * grad_batch + head * grad_head
    key += item * key_batch + head * key_head
    log_sum += pair * queries
    delta += pair * queries
    key_tile = rows(key, other, key_step, here, dim, wide, product)
    value_tile = rows(value + item * value_batch + head * value_head, other, value_step, here, dim, wide, product)
    scale = exact_scale(scale_high, scale_low, exact)
    factor = tl.zeros((keys,), exact) + scale * to_base_2(transform)
    if shared_keys:
        factor *= inverse_lengths(key_tile, shortest, exact)
    # A query at place p among the keys sees no key before p - reach, and none from p + reach on (p, if causal).
    last_place = tl.minimum(first_place + keys, stand) - 1
    if one_row:
        begin = first_place
        if not causal:
            begin = tl.maximum(first_place - (reach - 1), 0)
        end = tl.where(last_place < first_place, 0, tl.minimum(last_place + reach, stand)).to(tl.int32)
    else:
        begins += (row * orderings + ordering) * (groups + 1)
        lowest = first_place + 1
        if not causal:
            lowest = tl.maximum(first_place - reach + 2, 0)
        highest = tl.minimum(last_place + reach, length)
        begin = tl.load(begins + lowest // group)
        end = tl.where(last_place < first_place, 0, tl.load(begins + highest // group + 1))
    grad_keys = tl.zeros((keys, wide), exact)
    grad_values = tl.zeros((keys, wide), exact)
    for start in range(begin, end, tile):
        token, inside, low, size, tile_of_queries, itself = tile_of(
            query, query_step, query_order, seen, self_key, start + tl.arange(0, tile), end, orderings, ordering,
            one_row, attend_self, dim, wide, product,
        )  # fmt: skip
        grad = rows(grad_output, token, grad_step, size > 0, dim, wide, product)
        log_sums = tl.load(log_sum + token, mask=inside, other=float("inf"))
        deltas = tl.load(delta + token, mask=inside, other=0.0)
        self_only = log_sums == float("-inf")
        score = tl.dot(tile_of_queries, tl.trans(key_tile), input_precision=precision, out_dtype=exact)
        score *= factor[None, :]
        met = pairs(
            low, size, place, token, other, itself, self_only, seen, places, orderings, ordering, inside, here,
            first, deduplicate, attend_self,
        )  # fmt: skip
        grad_weight = tl.dot(grad, tl.trans(value_tile), input_precision=precision, out_dtype=exact)
        # `backward_queries` computes the gradient of the coefficients; these sums are thrown away.
        weight, grad_score, _ = _through_softmax(
            score, met, grad_weight, log_sums, deltas, self_only, tl.zeros((MOST_COEFFICIENTS,), exact),
            coefficients, count, transform,
        )  # fmt: skip
        grad_values += tl.dot(tl.trans(weight.to(grad.dtype)), grad, input_precision=precision, out_dtype=exact)
        grad_score = grad_score.to(tile_of_queries.dtype)
        grad_keys += tl.dot(tl.trans(grad_score), tile_of_queries, input_precision=precision, out_dtype=exact)
    grad_keys *= scale
    kept = pair * length * dim
    if not first:
        grad_keys += rows(running_key + kept, other, dim, inside_keys, dim, wide, exact)
        grad_values += rows(running_value + kept, other, dim, inside_keys, dim, wide, exact)
    if not last:
        put(running_key + kept, other, dim, inside_keys, grad_keys, dim, wide)
        put(running_value + kept, other, dim, inside_keys, grad_values, dim, wide)
    else:
        grad_value += item * to_value_batch + head * to_value_head
        put(grad_value, other, to_value_step, inside_keys, grad_values, dim, wide)
        if shared_keys:
            anywhere = here
            if not first:
                for each in range(orderings):
                    anywhere |= tl.load(places + other * orderings + each, mask=inside_keys, other=-1) >= 0
            vector = rows(key, other, key_step, anywhere, dim, wide, product).to(exact)
            inverse = inverse_lengths(vector, shortest, exact)
            unit = vector * inverse[:, None]
            along = tl.sum(unit * grad_keys, 1)
            # A vector shorter than `shortest` is divided by this constant, whatever its direction.
            along = tl.where(inverse * shortest < 0.999999, along, 0.0)
            grad_keys = (grad_keys - along[:, None] * unit) * inverse[:, None]
            grad_keys += rows(running_query + kept, other, dim, inside_keys, dim, wide, exact)
            grad_query += item * to_query_batch + head * to_query_head
            put(grad_query, other, to_query_step, inside_keys, grad_keys, dim, wide)
        else:
            grad_key += item * to_key_batch + head * to_key_head
            put(grad_key, other, to_key_step, inside_keys, grad_keys, dim, wide)
