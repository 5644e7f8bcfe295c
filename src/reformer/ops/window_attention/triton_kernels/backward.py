"""The backward kernels: tiles are recomputed from the merged log-sum-exp (equation 13).

Gradients of queries come from tiles of queries, those of keys and values from tiles of keys, so every sum is made by
one program in one order: no atomic additions, and equal runs give equal bits.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
from typing import no_type_check

import triton
import triton.language as tl

from reformer.ops.window_attention.triton_kernels.forward import LOG2_E
from reformer.ops.window_attention.triton_kernels.tiles import inverse_lengths, pairs, put, rows, stretch


@triton.jit
@no_type_check
def _weights(score, met, log_sum, lonely):
    """Each pair's weight in the softmax over the union."""
    # Where nothing was seen the log-sum-exp is infinite and the weight nothing; alone, it is one.
    alone = lonely[:, None]
    score = tl.where(met, tl.where(alone, 0.0, score - tl.where(lonely, 0.0, log_sum)[:, None]), float("-inf"))
    return tl.exp2(score)


@triton.jit
@no_type_check
def _grad_scores(weight, grad_weight, delta, lonely):
    # The only weight of a softmax does not depend on its score.
    return tl.where(lonely[:, None], 0.0, weight * (grad_weight - delta[:, None]))


@triton.jit
@no_type_check
def _query_block(
    start, end, query, grad, token, own, inside, low, size, log_sum, delta, lonely, result,
    key, value, key_step, value_step, order, seen, places, orderings, ordering, scale, shortest,
    shared_keys: tl.constexpr, first: tl.constexpr, deduplicate: tl.constexpr, attend_self: tl.constexpr,
    dim: tl.constexpr, wide: tl.constexpr, keys: tl.constexpr, precision: tl.constexpr, exact: tl.constexpr,
    product: tl.constexpr,
):  # fmt: skip
    """What one block of keys adds to the gradient of a tile of queries, but for the scale."""
    place = start + tl.arange(0, keys)
    here = place < end
    other = tl.load(order + place, mask=here, other=0).to(tl.int64)
    key_tile = rows(key, other, key_step, here, dim, wide, product)
    value_tile = rows(value, other, value_step, here, dim, wide, product)
    score = tl.dot(query, tl.trans(key_tile), input_precision=precision, out_dtype=exact) * (scale * LOG2_E)
    if shared_keys:
        inverse = inverse_lengths(key_tile, shortest, exact)
        score *= inverse[None, :]
    met = pairs(
        low, size, place, token, other, own, lonely, seen, places, orderings, ordering, inside, here,
        first, deduplicate, attend_self,
    )  # fmt: skip
    weight = _weights(score, met, log_sum, lonely)
    grad_weight = tl.dot(grad, tl.trans(value_tile), input_precision=precision, out_dtype=exact)
    grad_score = _grad_scores(weight, grad_weight, delta, lonely)
    if shared_keys:
        grad_score *= inverse[None, :]
    result += tl.dot(grad_score.to(key_tile.dtype), key_tile, input_precision=precision, out_dtype=exact)
    return result


@triton.jit
@no_type_check
def backward_queries(
    query, key, value, output, grad_output, grad_query, log_sum, delta, running,
    query_order, key_order, seen, places, own,
    query_batch, query_head, query_step, key_batch, key_head, key_step, value_batch, value_head, value_step,
    output_batch, output_head, output_step, grad_batch, grad_head, grad_step,
    result_batch, result_head, result_step, row_batch, row_head, key_row_batch, key_row_head,
    heads, queries, length, orderings, ordering, tiles, scale_high, scale_low, shortest,
    first: tl.constexpr, last: tl.constexpr, one_row: tl.constexpr, shared_keys: tl.constexpr,
    deduplicate: tl.constexpr, attend_self: tl.constexpr, dim: tl.constexpr, wide: tl.constexpr,
    tile: tl.constexpr, keys: tl.constexpr, precision: tl.constexpr, exact: tl.constexpr, product: tl.constexpr,
):  # fmt: skip
    """As `forward`, for the gradient of the queries; the `first` ordering leaves `delta` for everyone.

    `running` keeps the gradient between orderings, and at the end where `shared_keys` are still to be added.
    """
    program = tl.program_id(0).to(tl.int64)
    pair = program // tiles
    item, head = pair // heads, pair % heads
    row = item * row_batch + head * row_head
    key_row = item * key_row_batch + head * key_row_head
    at = (program % tiles) * tile + tl.arange(0, tile)
    inside = at < queries
    token = tl.load(query_order + (row * orderings + ordering) * queries + at, mask=inside, other=0).to(tl.int64)
    seen += row * queries * orderings
    places += key_row * length * orderings
    key_order += (key_row * orderings + ordering) * length
    low, size = stretch(seen, token * orderings + ordering, inside)
    key += item * key_batch + head * key_head
    value += item * value_batch + head * value_head
    tile_of_queries = rows(
        query + item * query_batch + head * query_head, token, query_step, size > 0, dim, wide, product
    )
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
    lonely = log_sums == float("-inf")
    itself = token
    if not attend_self and not one_row:
        itself = tl.load(own + row * queries + token, mask=inside, other=-1).to(tl.int64)
    scale = tl.cast(scale_high, exact) + tl.cast(scale_low, exact)
    added = tl.zeros((tile, wide), exact)
    start = tl.min(tl.where(size > 0, low, length), 0)
    end = tl.max(tl.where(size > 0, low + size, 0), 0)
    if one_row:
        for begin in range(start, end, keys):
            added = _query_block(
                begin, end, tile_of_queries, grad, token, itself, inside, low, size, log_sums, deltas, lonely, added,
                key, value, key_step, value_step, key_order, seen, places, orderings, ordering, scale, shortest,
                shared_keys, first, deduplicate, attend_self, dim, wide, keys, precision, exact, product,
            )  # fmt: skip
    else:
        while start < end:
            added = _query_block(
                start, end, tile_of_queries, grad, token, itself, inside, low, size, log_sums, deltas, lonely, added,
                key, value, key_step, value_step, key_order, seen, places, orderings, ordering, scale, shortest,
                shared_keys, first, deduplicate, attend_self, dim, wide, keys, precision, exact, product,
            )  # fmt: skip
            start += keys
            start = tl.min(tl.where((size > 0) & (low + size > start), tl.maximum(low, start), length), 0)
    result += added * scale
    if last and not shared_keys:
        put(grad_query + item * result_batch + head * result_head, token, result_step, inside, result, dim, wide)
    else:
        put(running + pair * queries * dim, token, dim, inside, result, dim, wide)


@triton.jit
@no_type_check
def backward_keys(
    query, key, value, grad_output, grad_query, grad_key, grad_value, log_sum, delta,
    running_query, running_key, running_value,
    query_order, key_order, seen, places, own, present, begins,
    query_batch, query_head, query_step, key_batch, key_head, key_step, value_batch, value_head, value_step,
    grad_batch, grad_head, grad_step, to_query_batch, to_query_head, to_query_step,
    to_key_batch, to_key_head, to_key_step, to_value_batch, to_value_head, to_value_step,
    row_batch, row_head, key_row_batch, key_row_head,
    heads, queries, length, orderings, ordering, tiles, reach, group, groups, scale_high, scale_low, shortest,
    first: tl.constexpr, last: tl.constexpr, one_row: tl.constexpr, shared_keys: tl.constexpr,
    causal: tl.constexpr, deduplicate: tl.constexpr, attend_self: tl.constexpr,
    dim: tl.constexpr, wide: tl.constexpr, tile: tl.constexpr, keys: tl.constexpr,
    precision: tl.constexpr, exact: tl.constexpr, product: tl.constexpr,
):  # fmt: skip
    """One program a block of keys and head: the gradients of keys and values from the queries that see them.

    Args:
        present: how many keys stand in each row.
        begins: `[..., orderings, groups + 1]`, where each group of queries begins, where queries have a row of their
            own. A query's group is its place among the keys, divided by `group`.
        reach: the window, or one more than the length where that is less: a query stands no further from what it sees.
        shared_keys: the gradient of the keys goes on through the division by their lengths, to `grad_query`.
    """
    program = tl.program_id(0).to(tl.int64)
    pair = program // tiles
    item, head = pair // heads, pair % heads
    row = item * row_batch + head * row_head
    key_row = item * key_row_batch + head * key_row_head
    first_place = ((program % tiles) * keys).to(tl.int32)
    place = first_place + tl.arange(0, keys)
    inside_keys = place < length
    stand = tl.load(present + key_row * orderings + ordering)
    here = place < stand
    other = tl.load(key_order + (key_row * orderings + ordering) * length + place, mask=inside_keys, other=0)
    other = other.to(tl.int64)
    seen += row * queries * orderings
    places += key_row * length * orderings
    query_order += (row * orderings + ordering) * queries
    own += row * queries
    query += item * query_batch + head * query_head
    grad_output += item * grad_batch + head * grad_head
    key += item * key_batch + head * key_head
    log_sum += pair * queries
    delta += pair * queries
    key_tile = rows(key, other, key_step, here, dim, wide, product)
    value_tile = rows(value + item * value_batch + head * value_head, other, value_step, here, dim, wide, product)
    scale = tl.cast(scale_high, exact) + tl.cast(scale_low, exact)
    if shared_keys:
        factor = inverse_lengths(key_tile, shortest, exact) * (scale * LOG2_E)
    else:
        factor = tl.zeros((keys,), exact) + scale * LOG2_E
    # A query at place p among the keys sees none before p - reach, and none from p + reach on (p, if causal).
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
        at = start + tl.arange(0, tile)
        inside = at < end
        token = tl.load(query_order + at, mask=inside, other=0).to(tl.int64)
        low, size = stretch(seen, token * orderings + ordering, inside)
        sees = size > 0
        tile_of_queries = rows(query, token, query_step, sees, dim, wide, product)
        grad = rows(grad_output, token, grad_step, sees, dim, wide, product)
        log_sums = tl.load(log_sum + token, mask=inside, other=float("inf"))
        deltas = tl.load(delta + token, mask=inside, other=0.0)
        lonely = log_sums == float("-inf")
        itself = token
        if not attend_self and not one_row:
            itself = tl.load(own + token, mask=inside, other=-1).to(tl.int64)
        score = tl.dot(tile_of_queries, tl.trans(key_tile), input_precision=precision, out_dtype=exact)
        score *= factor[None, :]
        met = pairs(
            low, size, place, token, other, itself, lonely, seen, places, orderings, ordering, inside, here,
            first, deduplicate, attend_self,
        )  # fmt: skip
        weight = _weights(score, met, log_sums, lonely)
        grad_values += tl.dot(tl.trans(weight.to(grad.dtype)), grad, input_precision=precision, out_dtype=exact)
        grad_weight = tl.dot(grad, tl.trans(value_tile), input_precision=precision, out_dtype=exact)
        grad_score = _grad_scores(weight, grad_weight, deltas, lonely).to(tile_of_queries.dtype)
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
            # A vector that counts as longer than it is is merely multiplied; its inverse is that of `shortest`.
            along = tl.where(inverse * shortest < 0.999999, along, 0.0)
            grad_keys = (grad_keys - along[:, None] * unit) * inverse[:, None]
            grad_keys += rows(running_query + kept, other, dim, inside_keys, dim, wide, exact)
            grad_query += item * to_query_batch + head * to_query_head
            put(grad_query, other, to_query_step, inside_keys, grad_keys, dim, wide)
        else:
            grad_key += item * to_key_batch + head * to_key_head
            put(grad_key, other, to_key_step, inside_keys, grad_keys, dim, wide)
