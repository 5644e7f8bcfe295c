"""Window attention in plain PyTorch, linear in memory, on any device.

Each ordering sorts its keys by slot and cuts the row into blocks. A tile of queries, also in slot order, needs only
the few blocks that its windows can reach, so what it works on lies side by side. Orderings are merged by a running
maximum and sum, and the backward pass recomputes the scores from the merged log-sum-exp: nothing of size
`length x window` outlives a chunk of tiles.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from reformer.ops.unit_vectors import SHORTEST
from reformer.ops.window_attention.eager_rows import Places, Row, Seen, lay_out, own_keys
from reformer.ops.window_attention.transforms import ScoreTransform

_BEHIND = 1e30
"""What is taken off the score of a pair that is not seen."""


def _least(dtype: torch.dtype) -> float:
    """The least exponent that is computed: what it gives is nothing beside 1, but not so small that a processor takes
    hundreds of times as long over it."""
    return 0.98 * math.log(torch.finfo(dtype).tiny)


@dataclass(frozen=True)
class _Plan:
    """Every ordering of one call, and how its scores are masked."""

    rows: list[Row]
    seen: list[list[Seen]]
    """For each ordering, what those before it have seen and it leaves out."""
    scale: float
    transform: type[ScoreTransform] | None = None


def _without_autocast(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run in the dtypes that were chosen here: sums are float32 also where autocast would have products in less."""

    @wraps(function)
    def run(ctx: Any, tensor: Tensor, *rest: Any) -> Any:
        with torch.autocast(tensor.device.type, enabled=False):
            return function(ctx, tensor, *rest)

    return run


class _EagerWindowAttention(torch.autograd.Function):
    @staticmethod
    @_without_autocast
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor | None,
        value: Tensor,
        coefficients: Tensor | None,
        plan: _Plan,
        own: Tensor | None,
    ) -> Tensor:
        output, total, log_sum = _forward(query, key, value, coefficients, plan)
        lonely = None
        if own is not None:
            lonely = _lonely(own, total, value)
            output[lonely[0]] = value[lonely[1]]
        ctx.plan, ctx.lonely = plan, lonely
        ctx.save_for_backward(query, key, value, coefficients, output, log_sum)
        return output

    @staticmethod
    @once_differentiable
    @_without_autocast
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, coefficients, output, log_sum = ctx.saved_tensors
        grad_query, grad_key, grad_value, of_coefficients = _backward(
            query, key, value, coefficients, output, log_sum, grad_output, ctx.plan
        )
        if ctx.lonely is not None:
            queries, keys = ctx.lonely
            grad_value.index_put_(keys, grad_output[queries], accumulate=True)
        return grad_query, grad_key, grad_value, of_coefficients, None, None


def _sorted_vectors(
    row: Row, query: Tensor, key: Tensor | None, value: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Queries, keys and values in the order of a row; and where keys are made of queries, one over their lengths."""
    values = row.keys.sort(value, dtype)
    if key is not None:
        return row.queries.sort(query, dtype), row.keys.sort(key, dtype), values, None
    both = row.keys.sort(query, dtype)
    inverse = torch.linalg.vector_norm(both, dim=-1, keepdim=True).clamp_min_(SHORTEST).reciprocal_()
    # As keys that are given, these have the digits of their dtype.
    keys = (both * inverse).to(query.dtype).to(dtype)
    # Queries stand as their keys do.
    return both[row.keys.before :], keys, values, inverse


def _of_queries(row: Row, coefficients: Tensor, dtype: torch.dtype) -> Tensor:
    """The coefficients of the head of every query of a row, `[places, coefficients]`."""
    sequences, places = row.queries.tokens.shape
    of_sequences = coefficients.to(dtype).repeat(sequences // len(coefficients), 1)
    return of_sequences.repeat_interleave(places, 0)


def _forward(
    query: Tensor, key: Tensor | None, value: Tensor, coefficients: Tensor | None, plan: _Plan
) -> tuple[Tensor, Tensor, Tensor]:
    """The output, and the sum and log-sum-exp of each query, `[sequences, queries]`."""
    dtype = torch.promote_types(query.dtype, torch.float32)
    lowest, least = torch.finfo(dtype).min, _least(dtype)
    earlier: Places | None = None
    output = total = largest = query.new_empty(0)
    for row, seen in zip(plan.rows, plan.seen, strict=True):
        q, k, v, _ = _sorted_vectors(row, query, key, value, dtype)
        here = row.queries
        if earlier is None:
            output, total = q.new_empty(here.size + 1, q.shape[1]), q.new_zeros(here.size + 1)
            output[here.size] = 0
            largest = torch.full_like(total, lowest)
        else:
            output, total = here.carry(output, earlier), here.carry(total, earlier)
            largest = here.carry(largest, earlier, lowest)
        learned = None if coefficients is None else _of_queries(row, coefficients, dtype)
        for chunk in row.chunks():
            left_out = row.left_out(chunk, seen)
            scores = _products(row.query_tiles(q, chunk), row.key_tiles(k, chunk), plan.scale)
            if plan.transform is not None and learned is not None:
                # What is not seen could overflow.
                scores = plan.transform.value(scores.mul_(1 - left_out), row.query_tiles(learned, chunk)[:, :, None])
            scores.sub_(left_out, alpha=_BEHIND)
            before, sums, out = (row.query_tiles(each, chunk) for each in (largest, total, output))
            now = torch.maximum(before, scores.amax(-1))
            weights = scores.sub_(now[..., None]).clamp_(min=least).exp_()
            weights.addcmul_(weights, left_out, value=-1)
            added = weights.sum(-1, dtype=torch.float64).to(dtype)
            values = row.key_tiles(v, chunk)
            if earlier is None:
                # Nothing to merge with: a query stands in one tile of an ordering.
                torch.bmm(weights, values, out=out)
            else:
                fade = (before - now).exp_()
                added += sums * fade
                torch.baddbmm(out.mul_(fade[..., None]), weights, values, out=out)
            before.copy_(now)
            sums.copy_(added)
            if row is plan.rows[-1]:
                out.div_(added.where(added > 0, 1)[..., None])
        earlier = here
    assert earlier is not None
    # A query that saw nothing keeps a log-sum-exp of +inf, so that the backward pass gives it no weight.
    log_sum = torch.where(total > 0, largest + total.log(), float("inf"))
    return earlier.unsort(output, query), total[earlier.of_token], log_sum[earlier.of_token]


def _backward(
    query: Tensor,
    key: Tensor | None,
    value: Tensor,
    coefficients: Tensor | None,
    output: Tensor,
    log_sum: Tensor,
    grad_output: Tensor,
    plan: _Plan,
) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None]:
    dtype = torch.promote_types(query.dtype, torch.float32)
    least = _least(dtype)
    delta = _by_token(torch.linalg.vecdot(grad_output.to(dtype), output.to(dtype)).flatten(0, 1), 0.0)
    log_sum = _by_token(log_sum, float("inf"))
    of_coefficients = None if coefficients is None else torch.zeros_like(coefficients, dtype=torch.float64)
    earlier: Row | None = None
    grad_q = grad_k = grad_v = k = query.new_empty(0)
    inverse = None
    for row, seen in zip(plan.rows, plan.seen, strict=True):
        q, k, v, inverse = _sorted_vectors(row, query, key, value, dtype)
        grad = row.queries.sort(grad_output, dtype)
        if earlier is None:
            grad_q, grad_k, grad_v = (
                q.new_zeros(row.queries.size + 1, q.shape[1]),
                torch.zeros_like(k),
                torch.zeros_like(v),
            )
        else:
            grad_q = row.queries.carry(grad_q, earlier.queries)
            grad_k, grad_v = (row.keys.carry(each, earlier.keys) for each in (grad_k, grad_v))
        number = row.queries.numbers(log_sum.shape[1])
        log_sums = log_sum.flatten().index_select(0, number)
        # What comes to an absent query may hold anything, NaN included.
        deltas = delta.flatten().index_select(0, number).index_fill_(0, row.queries.empty, 0)
        learned = None if coefficients is None else _of_queries(row, coefficients, dtype)
        of_learned = None if learned is None else torch.zeros_like(learned)
        for chunk in row.chunks():
            q_tile, grad_tile, of_q = (row.query_tiles(each, chunk) for each in (q, grad, grad_q))
            log_tile, delta_tile = (row.query_tiles(each, chunk)[..., None] for each in (log_sums, deltas))
            keys, left_out = row.key_tiles(k, chunk), row.left_out(chunk, seen)
            scores = _products(q_tile, keys, plan.scale)
            raw = c_tile = scores
            if plan.transform is not None and learned is not None:
                raw, c_tile = scores.mul_(1 - left_out), row.query_tiles(learned, chunk)[:, :, None]
                scores = plan.transform.value(raw, c_tile)
            weights = scores.sub_(log_tile).clamp_(least, 0).exp_()
            weights.addcmul_(weights, left_out, value=-1)
            grad_scores = torch.bmm(grad_tile, row.key_tiles(v, chunk).transpose(1, 2))
            grad_scores.sub_(delta_tile).mul_(weights)
            if plan.transform is not None and of_learned is not None:
                slope, slopes = plan.transform.slopes(raw, c_tile)
                sums = [torch.linalg.vecdot(grad_scores, each) for each in slopes]
                row.query_tiles(of_learned, chunk).copy_(torch.stack(sums, -1))
                grad_scores.mul_(slope)
            if plan.scale != 1:
                grad_scores.mul_(plan.scale)
            torch.baddbmm(of_q, grad_scores, keys, out=of_q)
            row.add_to_keys(grad_k, chunk, grad_scores, q_tile)
            row.add_to_keys(grad_v, chunk, weights, grad_tile)
        if of_coefficients is not None and of_learned is not None:
            of_heads = of_learned.view(query.shape[0], query.shape[1], -1, of_learned.shape[1])
            of_coefficients += of_heads.sum((0, 2), dtype=torch.float64)
        earlier = row
    assert earlier is not None
    if of_coefficients is not None and coefficients is not None:
        of_coefficients = of_coefficients.to(coefficients.dtype)
    of_value = earlier.keys.unsort(grad_v, value)
    if key is not None:
        return earlier.queries.unsort(grad_q, query), earlier.keys.unsort(grad_k, key), of_value, of_coefficients
    assert inverse is not None
    # A vector so short that it is divided by a constant has no curvature; its inverse is the constant's, rounded.
    along = torch.linalg.vecdot(k, grad_k)[:, None].masked_fill_(inverse * SHORTEST > 0.999999, 0)
    joined = grad_k.addcmul_(k, along, value=-1).mul_(inverse)
    joined[earlier.keys.before :][: earlier.queries.size] += grad_q[: earlier.queries.size]
    return earlier.keys.unsort(joined, query), None, of_value, of_coefficients


def _products(left: Tensor, right: Tensor, scale: float) -> Tensor:
    """Of the vectors of each tile, `[tiles, rows, columns]`."""
    empty = left.new_empty(left.shape[0], left.shape[1], right.shape[1])
    return torch.baddbmm(empty, left, right.transpose(1, 2), beta=0, alpha=scale)


def _by_token(numbers: Tensor, fill: float) -> Tensor:
    """One more number a sequence, for no token."""
    return torch.nn.functional.pad(numbers, (0, 1), value=fill)


def _lonely(own: Tensor, total: Tensor, value: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Indices, `(batch, head, token)`, of the queries that saw nothing but are keys, and of those keys."""
    heads = value.shape[1]
    row, at = ((total == 0) & (own < value.shape[2])).nonzero().unbind(-1)
    batch, head = row // heads, row % heads
    return (batch, head, at), (batch, head, own[row, at])


def eager(
    query: Tensor,
    key: Tensor | None,
    value: Tensor,
    query_slots: Tensor,
    key_slots: Tensor,
    *,
    windows: tuple[int, ...],
    causal: bool,
    attend_self: bool,
    deduplicate: bool,
    scale: float,
    transform: ScoreTransform | None = None,
) -> Tensor:
    """See `window_attention`; arguments are checked there. No key: the queries, divided by their length."""
    batch, heads = query.shape[:2]
    shared = query_slots is key_slots
    rows: list[Row] = []
    for ordering, window in enumerate(windows):
        keys = key_slots[:, :, ordering]
        queries = keys if shared else query_slots[:, :, ordering]
        rows.append(lay_out(queries, keys, window, causal, attend_self, batch, heads))
    seen = [[row.seen(each) for each in rows[:index]] if deduplicate else [] for index, row in enumerate(rows)]
    plan = _Plan(rows, seen, scale, None if transform is None else type(transform))
    coefficients = None if transform is None else transform.coefficients
    own = None if attend_self else own_keys(query_slots, key_slots, batch, heads)
    return _EagerWindowAttention.apply(query, key, value, coefficients, plan, own)  # pyright: ignore[reportReturnType]
