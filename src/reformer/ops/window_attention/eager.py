"""Window attention in plain PyTorch, linear in memory, on any device.

Each ordering sorts its keys by slot and cuts the row into blocks. A tile of queries, also in slot order, needs only
the few blocks that its windows can reach, which lie side by side in memory. Orderings are merged by a running
maximum and sum, and the backward pass recomputes the scores from the merged log-sum-exp: nothing of size
`length x window` outlives a chunk of tiles.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from reformer.ops.unit_vectors import SHORTEST
from reformer.ops.window_attention.eager_rows import Places, Row, Seen, lay_out, self_keys
from reformer.ops.window_attention.transforms import ScoreTransform

Queries = Float[Tensor, "batch heads queries head_dim"]
Keys = Float[Tensor, "batch heads length head_dim"]
Coefficients = Float[Tensor, "heads count"]

MASK_BIAS = 1e30
"""Subtracted from the score of a masked pair. Finite, because a product of infinity and the mask's zeros is NaN."""


def why_unsupported(query: Queries, key: Keys) -> str | None:
    """None: PyTorch computes any call."""
    return None


def serves(query: Queries) -> bool:
    """True: chosen where no kernel is."""
    return True


def _min_exponent(dtype: torch.dtype) -> float:
    """The bound below which exponents are clamped: their exponential is negligible beside 1, and yet a normal number,
    where processors take hundreds of times as long over a subnormal one."""
    return 0.98 * math.log(torch.finfo(dtype).tiny)


@dataclass(frozen=True)
class _Plan:
    """The orderings of one call, and the options of its scores."""

    rows: list[Row]
    seen: list[list[Seen]]
    """For each ordering, the pairs of the orderings before it, which it leaves out."""
    scale: float
    transform: type[ScoreTransform] | None = None


def _without_autocast(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function without autocast, which would round products that are summed in float32."""

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
        query: Queries,
        key: Keys | None,
        value: Keys,
        coefficients: Coefficients | None,
        plan: _Plan,
        self_key: Int[Tensor, "sequences queries"] | None,
    ) -> Queries:
        output, total, log_sum = _forward(query, key, value, coefficients, plan)
        self_only = None
        if self_key is not None:
            self_only = _self_only(self_key, total, value)
            output[self_only[0]] = value[self_only[1]]
        ctx.plan, ctx.self_only = plan, self_only
        ctx.save_for_backward(query, key, value, coefficients, output, log_sum)
        return output

    @staticmethod
    @once_differentiable
    @_without_autocast
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, coefficients, output, log_sum = ctx.saved_tensors
        grad_query, grad_key, grad_value, grad_coefficients = _backward(
            query, key, value, coefficients, output, log_sum, grad_output, ctx.plan
        )
        if ctx.self_only is not None:
            queries, keys = ctx.self_only
            grad_value.index_put_(keys, grad_output[queries], accumulate=True)
        return grad_query, grad_key, grad_value, grad_coefficients, None, None


def _sorted_vectors(
    row: Row,
    query: Queries,
    key: Keys | None,
    value: Keys,
    dtype: torch.dtype,
) -> tuple[
    Float[Tensor, "query_places head_dim"],
    Float[Tensor, "key_places head_dim"],
    Float[Tensor, "key_places head_dim"],
    Float[Tensor, "key_places 1"] | None,
]:
    """Queries, keys and values in the order of a row; and the inverse lengths of the queries if they make the keys."""
    values = row.keys.sort(value, dtype)
    if key is not None:
        return row.queries.sort(query, dtype), row.keys.sort(key, dtype), values, None
    both = row.keys.sort(query, dtype)
    inverse = torch.linalg.vector_norm(both, dim=-1, keepdim=True).clamp_min_(SHORTEST).reciprocal_()
    # Unrounded, these keys would differ from the same keys passed as an argument.
    keys = (both * inverse).to(query.dtype).to(dtype)
    return both[row.keys.before :], keys, values, inverse


def _of_queries(row: Row, coefficients: Coefficients, dtype: torch.dtype) -> Float[Tensor, "query_places count"]:
    """The coefficients of the head of every query of a row."""
    sequences, places = row.queries.tokens.shape
    of_sequences = coefficients.to(dtype).repeat(sequences // len(coefficients), 1)
    return of_sequences.repeat_interleave(places, 0)


def _forward(
    query: Queries,
    key: Keys | None,
    value: Keys,
    coefficients: Coefficients | None,
    plan: _Plan,
) -> tuple[
    Queries,
    Float[Tensor, "sequences queries"],
    Float[Tensor, "sequences queries"],
]:
    """The output, and the sum and log-sum-exp of each query (equation 12)."""
    dtype = torch.promote_types(query.dtype, torch.float32)
    lowest, min_exponent = torch.finfo(dtype).min, _min_exponent(dtype)
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
                # The transform of a masked score could overflow.
                scores = plan.transform.value(scores.mul_(1 - left_out), row.query_tiles(learned, chunk)[:, :, None])
            scores.sub_(left_out, alpha=MASK_BIAS)
            before, sums, out = (row.query_tiles(each, chunk) for each in (largest, total, output))
            now = torch.maximum(before, scores.amax(-1))
            weights = scores.sub_(now[..., None]).clamp_(min=min_exponent).exp_()
            weights.addcmul_(weights, left_out, value=-1)
            added = weights.sum(-1, dtype=torch.float64).to(dtype)
            values = row.key_tiles(v, chunk)
            if earlier is None:
                # A query is in one tile of an ordering, so the first ordering has nothing to merge with.
                torch.bmm(weights, values, out=out)
            else:
                fade = (before - now).exp_()
                added += sums * fade
                torch.baddbmm(out.mul_(fade[..., None]), weights, values, out=out)
            before.copy_(now)
            sums.copy_(added)
            if row is plan.rows[-1]:
                # Scores of minus infinity alone are below those of masked pairs: zero divided by zero.
                lost = (added > 0) & (now < -MASK_BIAS / 2)
                out.div_(added.where(added > 0, 1).masked_fill_(lost, float("nan"))[..., None])
        earlier = here
    assert earlier is not None
    # With a log-sum-exp of infinity, a query that sees nothing has weights of zero in the backward pass.
    log_sum = torch.where(total > 0, largest + total.log(), float("inf"))
    return earlier.unsort(output, query), total[earlier.of_token], log_sum[earlier.of_token]


def _backward(
    query: Queries,
    key: Keys | None,
    value: Keys,
    coefficients: Coefficients | None,
    output: Queries,
    log_sum: Float[Tensor, "sequences queries"],
    grad_output: Queries,
    plan: _Plan,
) -> tuple[Queries, Keys | None, Keys, Coefficients | None]:
    """The gradients of query, key, value and coefficients (equation 13); without a key, the query's holds the key's."""
    dtype = torch.promote_types(query.dtype, torch.float32)
    min_exponent = _min_exponent(dtype)
    delta = _by_token(torch.linalg.vecdot(grad_output.to(dtype), output.to(dtype)).flatten(0, 1), 0.0)
    log_sum = _by_token(log_sum, float("inf"))
    grad_coefficients = None if coefficients is None else torch.zeros_like(coefficients, dtype=torch.float64)
    earlier: Row | None = None
    grad_q = grad_k = grad_v = k = query.new_empty(0, 0)
    inverse = None
    for row, seen in zip(plan.rows, plan.seen, strict=True):
        q, k, v, inverse = _sorted_vectors(row, query, key, value, dtype)
        grad = row.queries.sort(grad_output, dtype)
        grad_q = _carried(grad_q, row.queries, None if earlier is None else earlier.queries, q)
        grad_k = _carried(grad_k, row.keys, None if earlier is None else earlier.keys, k)
        grad_v = _carried(grad_v, row.keys, None if earlier is None else earlier.keys, v)
        number = row.queries.numbers(log_sum.shape[1])
        log_sums = log_sum.flatten().index_select(0, number)
        # The gradient of an absent query's output may hold NaN, which a weight of zero does not remove.
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
            weights = scores.sub_(log_tile).clamp_(min_exponent, 0).exp_()
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
        if grad_coefficients is not None and of_learned is not None:
            of_heads = of_learned.view(query.shape[0], query.shape[1], -1, of_learned.shape[1])
            grad_coefficients += of_heads.sum((0, 2), dtype=torch.float64)
        earlier = row
    assert earlier is not None
    if grad_coefficients is not None and coefficients is not None:
        grad_coefficients = grad_coefficients.to(coefficients.dtype)
    if inverse is None:
        grad_query = earlier.queries.unsort(grad_q, query)
        grad_key = None if key is None else earlier.keys.unsort(grad_k, key)
    else:
        grad_query, grad_key = earlier.keys.unsort(_joined(earlier, k, grad_k, grad_q, inverse), query), None
    return grad_query, grad_key, earlier.keys.unsort(grad_v, value), grad_coefficients


def _carried(
    gradient: Float[Tensor, "earlier_places _"],
    places: Places,
    earlier: Places | None,
    vectors: Float[Tensor, "_ head_dim"],
) -> Float[Tensor, "places head_dim"]:
    """The gradient of the earlier ordering's vectors in the order of `places`; zeros in the first ordering."""
    if earlier is not None:
        return places.carry(gradient, earlier)
    return vectors.new_zeros(places.size + 1, vectors.shape[1])


def _joined(
    row: Row,
    keys: Float[Tensor, "key_places head_dim"],
    grad_keys: Float[Tensor, "key_places head_dim"],
    grad_queries: Float[Tensor, "query_places head_dim"],
    inverse: Float[Tensor, "key_places 1"],
) -> Float[Tensor, "key_places head_dim"]:
    """In place of the gradient of keys of unit length: that of the queries that make them, plus the queries' own."""
    along = torch.linalg.vecdot(keys, grad_keys)[:, None]
    # A vector shorter than `SHORTEST` is divided by this constant, whatever its direction; `inverse` is then rounded.
    along.masked_fill_(inverse * SHORTEST > 0.999999, 0)
    gradient = grad_keys.addcmul_(keys, along, value=-1).mul_(inverse)
    gradient[row.keys.before :][: row.queries.size] += grad_queries[: row.queries.size]
    return gradient


def _products(
    left: Float[Tensor, "tiles rows head_dim"], right: Float[Tensor, "tiles columns head_dim"], scale: float
) -> Float[Tensor, "tiles rows columns"]:
    """`scale` times the products of all pairs of vectors of each tile."""
    empty = left.new_empty(left.shape[0], left.shape[1], right.shape[1])
    return torch.baddbmm(empty, left, right.transpose(1, 2), beta=0, alpha=scale)


def _by_token(numbers: Float[Tensor, "sequences queries"], fill: float) -> Float[Tensor, "sequences _"]:
    """One more number a sequence, for places without a token."""
    return torch.nn.functional.pad(numbers, (0, 1), value=fill)


def _self_only(
    self_key: Int[Tensor, "sequences queries"],
    total: Float[Tensor, "sequences queries"],
    value: Keys,
) -> tuple[tuple[Int[Tensor, " self_only"], ...], tuple[Int[Tensor, " self_only"], ...]]:
    """Indices, `(batch, head, token)`, of the queries that see nothing but are keys, and of these keys."""
    heads = value.shape[1]
    row, at = ((total == 0) & (self_key < value.shape[2])).nonzero().unbind(-1)
    batch, head = row // heads, row % heads
    return (batch, head, at), (batch, head, self_key[row, at])


def attend(
    query: Queries,
    key: Keys | None,
    value: Keys,
    query_slots: Int[Tensor, "#batch #heads orderings queries"],
    key_slots: Int[Tensor, "#batch #heads orderings length"],
    *,
    windows: tuple[int, ...],
    causal: bool,
    attend_self: bool,
    deduplicate: bool,
    scale: float,
    transform: ScoreTransform | None = None,
) -> Queries:
    """See `window_attention`, which checks the arguments; without a key, keys are `unit_vectors(query)`."""
    batch, heads = query.shape[:2]
    shared = query_slots is key_slots
    self_key = None if attend_self else self_keys(query_slots, key_slots)
    rows: list[Row] = []
    for ordering, window in enumerate(windows):
        keys = key_slots[:, :, ordering]
        queries = keys if shared else query_slots[:, :, ordering]
        rows.append(lay_out(queries, keys, window, causal, attend_self, batch, heads, self_key))
    seen = [[row.seen(each) for each in rows[:index]] if deduplicate else [] for index, row in enumerate(rows)]
    plan = _Plan(rows, seen, scale, None if transform is None else type(transform))
    coefficients = None if transform is None else transform.coefficients
    if self_key is not None:
        self_key = self_key.expand(batch, heads, -1).flatten(0, 1)
    return _EagerWindowAttention.apply(query, key, value, coefficients, plan, self_key)  # pyright: ignore[reportReturnType]
