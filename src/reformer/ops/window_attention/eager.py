"""Window attention in plain PyTorch, linear in memory, on any device.

Each ordering sorts its keys by slot and cuts the row into blocks. A tile of queries, also in slot order, needs only
the few blocks that its windows can reach. Tiles are merged into the output by a running maximum and sum, and the
backward pass recomputes them from the merged log-sum-exp, so nothing of size `length x window` outlives a chunk.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SCORES_AT_ONCE = 1 << 18
"""How many scores a chunk of tiles holds: few enough to stay near the processor's cache."""

FAR = 1 << 62
"""Where absent tokens are sorted to: behind every slot."""


@dataclass(frozen=True)
class _Row:
    """One ordering, ready to be walked: rows are `batch x heads`, tiles and blocks both hold `tile` tokens."""

    window: int
    tile: int
    blocks_per_item: int
    query_order: Tensor
    """[rows, tiles * tile]: which query stands there; the number of queries where the tile is padded."""
    key_order: Tensor
    """[rows, (blocks + 1) * tile]: which key stands there; the number of keys where there is none."""
    dense_query: Tensor
    dense_key: Tensor
    """Places that keep every distance below the window, `[rows, length + 1]` in token order: int32 if they fit."""
    absent: int
    """The place of an absent key; an absent query has the negative of it."""
    first_block: Tensor
    """[rows, tiles]: where a tile's keys begin."""

    def items(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Chunks of work: flat tile numbers, and `[items, blocks_per_item]` flat block numbers."""
        tiles = self.first_block.shape[1]
        blocks = self.key_order.shape[1] // self.tile
        row = torch.arange(self.first_block.numel(), device=self.first_block.device) // tiles
        size = max(1, SCORES_AT_ONCE // (self.tile * self.tile * self.blocks_per_item))
        steps = torch.arange(self.blocks_per_item, device=row.device)
        for chunk in torch.arange(row.numel(), device=row.device).split(size):
            block = self.first_block.flatten()[chunk, None] + steps
            block = block.where((block >= 0) & (block < blocks - 1), blocks - 1)
            yield chunk, row[chunk, None] * blocks + block


def _tile_size(window: int) -> int:
    # Half a window: three blocks of keys for a tile of queries hold fewer pairs that are not seen than two of a window.
    return min(128, max(16, (1 << (window - 1).bit_length()) // 2))


def _sorted(slots: Tensor) -> tuple[Tensor, Tensor]:
    return slots.masked_fill(slots < 0, FAR).sort(dim=-1)


def _rows(tensor: Tensor, batch: int, heads: int) -> Tensor:
    return tensor.expand(batch, heads, tensor.shape[-1]).reshape(batch * heads, tensor.shape[-1])


def _pad(tensor: Tensor, length: int, fill: int) -> Tensor:
    return torch.nn.functional.pad(tensor, (0, length - tensor.shape[-1]), value=fill)


def _dense(in_order: Tensor, window: int) -> Tensor:
    """Sorted slots as small integers: gaps are kept up to twice the window, and cut to that beyond, which leaves
    room in between for a query that is near neither side."""
    gaps = (in_order[..., 1:] - in_order[..., :-1]).clamp(max=2 * window)
    return torch.nn.functional.pad(gaps.cumsum(-1), (1, 0))


def _place_between(queries: Tensor, keys: Tensor, dense: Tensor, window: int) -> Tensor:
    """Where sorted queries stand among the dense places of sorted keys: exact for every distance below the window."""
    after = torch.searchsorted(keys, queries, right=True)
    before = (after - 1).clamp_min(0)
    keys, dense = _pad(keys, keys.shape[-1] + 1, FAR), _pad(dense, keys.shape[-1] + 1, 0)
    from_left = dense.gather(-1, before) + (queries - keys.gather(-1, before)).clamp_min(-window)
    from_right = dense.gather(-1, after) - (keys.gather(-1, after) - queries)
    return torch.minimum(from_left, torch.maximum(from_right, dense.gather(-1, before) + window))


def _unsort(values: Tensor, order: Tensor, absent: Tensor, fill: int) -> Tensor:
    """Values from slot order back to token order, with one more entry for "no token"."""
    values = values.masked_fill(absent, fill)
    back = torch.empty_like(values).scatter_(-1, order, values)
    back = _pad(back, back.shape[-1] + 1, fill)
    return back.int() if abs(fill) < FAR >> 1 else back


def _lay_out(query_slots: Tensor, key_slots: Tensor, window: int, causal: bool, batch: int, heads: int) -> _Row:
    """Sort one ordering and find what each tile of queries needs. Slots are `[batch or 1, heads or 1, length]`."""
    tile = _tile_size(window)
    keys, order = _sorted(key_slots)
    count = keys.shape[-1]
    small = 1 << 30
    absent = small if (count + 2) * 2 * window < small else FAR >> 1
    dense = _dense(keys, window)
    dense_key = _unsort(dense, order, keys == FAR, absent)
    blocks = -(-count // tile)
    reach = min(-(-(window - 1) // tile), blocks)
    if query_slots is key_slots:
        query_order = _pad(order, blocks * tile, count)
        dense_query = _unsort(dense, order, keys == FAR, -absent)
        first_block = (torch.arange(blocks, device=order.device) - reach).expand(1, 1, blocks)
    else:
        queries, query_order = _sorted(query_slots)
        leading = torch.broadcast_shapes(keys.shape[:2], queries.shape[:2])
        keys, queries, query_order = (
            each.expand(*leading, each.shape[-1]).contiguous() for each in (keys, queries, query_order)
        )
        dense_query = _place_between(queries, keys, dense.expand_as(keys), window)
        dense_query = _unsort(dense_query, query_order, queries == FAR, -absent)
        starts = torch.searchsorted(keys, queries - (window - 1)) // tile
        starts = starts.clamp_max(blocks - 1).masked_fill(queries == FAR, blocks)
        places, first_block = _tiles_by_start(starts, tile, blocks)
        query_order = _pad(query_order, query_order.shape[-1] + 1, query_order.shape[-1]).gather(-1, places)
    return _Row(
        window=window,
        tile=tile,
        blocks_per_item=1 + reach * (1 if causal else 2),
        query_order=_rows(query_order, batch, heads),
        key_order=_rows(_pad(order, (blocks + 1) * tile, count), batch, heads),
        dense_query=_rows(dense_query, batch, heads),
        dense_key=_rows(dense_key, batch, heads),
        absent=absent,
        first_block=_rows(first_block, batch, heads),
    )


def _tiles_by_start(starts: Tensor, tile: int, blocks: int) -> tuple[Tensor, Tensor]:
    """Tiles of sorted queries whose windows begin in one block of keys, so that one item holds all they see.

    Args:
        starts: `[batch, heads, queries]`, ascending: the block a query's window begins in; `blocks` for none.

    Returns:
        The places of each tile's queries, `[batch, heads, tiles * tile]`, the number of queries where there is
        none, and the block that each tile begins in, `[batch, heads, tiles]`.
    """
    leading, queries = starts.shape[:2], starts.shape[2]
    every_block = torch.arange(blocks, device=starts.device).expand(*leading, blocks).contiguous()
    begin = torch.searchsorted(starts, every_block)
    end = torch.searchsorted(starts, every_block, right=True)
    tiles = (end - begin + tile - 1) // tile
    upto = tiles.cumsum(-1)
    # However the queries fall into blocks, there are no more tiles than this: shapes must not depend on the data.
    most = -(-queries // tile) + blocks
    number = torch.arange(most, device=starts.device).expand(*leading, most).contiguous()
    block = torch.searchsorted(upto, number, right=True)
    real = block < blocks
    block = block.clamp_max(blocks - 1)
    first = begin.gather(-1, block) + (number - (upto - tiles).gather(-1, block)) * tile
    places = first[..., None] + torch.arange(tile, device=starts.device)
    inside = (places < end.gather(-1, block)[..., None]) & real[..., None]
    return places.where(inside, queries).flatten(-2), block


@dataclass(frozen=True)
class _Plan:
    """Every ordering of one call, and how its scores are masked."""

    rows: list[_Row]
    causal: bool
    attend_self: bool
    deduplicate: bool
    scale: float

    def tokens(self, ordering: int) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Chunks of one ordering: flat query numbers `[items, tile]`, flat key numbers `[items, keys]`, the flat
        block numbers of the keys, and the bool mask `[items, tile, keys]` of the pairs this ordering leaves out."""
        row = self.rows[ordering]
        tile = row.tile
        # Sequences lie behind each other with one empty place after each, where padding reads and writes.
        query_number = _flat_numbers(row.query_order, row.dense_query.shape[-1]).view(-1, tile)
        key_number = _flat_numbers(row.key_order, row.dense_key.shape[-1]).view(-1, tile)
        for tiles, blocks in row.items():
            queries, keys = query_number[tiles], key_number[blocks].flatten(1)
            left_out = self._far(row, queries, keys, attend_self=self.attend_self)
            if self.deduplicate:
                for earlier in self.rows[:ordering]:
                    left_out |= self._far(earlier, queries, keys, attend_self=True).logical_not_()
            yield queries, keys, blocks, left_out

    def _far(self, row: _Row, queries: Tensor, keys: Tensor, *, attend_self: bool) -> Tensor:
        places, others = _take(row.dense_query.flatten(), queries), _take(row.dense_key.flatten(), keys)
        distance = places[:, :, None] - others[:, None, :]
        far = distance >= row.window
        if self.causal:
            far |= distance < (0 if attend_self else 1)
        else:
            far |= distance <= -row.window
            if not attend_self:
                far |= distance == 0
        return far


def _flat_numbers(order: Tensor, stride: int) -> Tensor:
    return order + stride * torch.arange(order.shape[0], device=order.device)[:, None]


def _own_key(query_slots: Tensor, key_slots: Tensor, batch: int, heads: int) -> Tensor:
    """The number of the key that is each query itself; the number of keys where there is none."""
    length = key_slots.shape[-1]
    if query_slots is key_slots:
        present = _rows((key_slots >= 0).any(2), batch, heads)
        return torch.arange(length, device=present.device).where(present, length)
    own = torch.full((batch * heads, query_slots.shape[-1]), length, device=query_slots.device)
    for ordering in range(query_slots.shape[2]):
        keys, order = _sorted(_rows(key_slots[:, :, ordering], batch, heads))
        queries = _rows(query_slots[:, :, ordering], batch, heads)
        at = torch.searchsorted(keys, queries.contiguous()).clamp_max(length - 1)
        same = (keys.gather(-1, at) == queries) & (queries >= 0)
        own = torch.where(same, order.gather(-1, at), own)
    return own


def _flat(vectors: Tensor, dtype: torch.dtype) -> Tensor:
    """`[batch, heads, length, head_dim]` as `[batch * heads * (length + 1), head_dim]`, the added places zero."""
    batch, heads, length, head_dim = vectors.shape
    flat = vectors.new_empty(batch, heads, length + 1, head_dim, dtype=dtype)
    flat[:, :, :length] = vectors
    flat[:, :, length] = 0
    return flat.view(-1, head_dim)


def _unflat(flat: Tensor, like: Tensor) -> Tensor:
    batch, heads, length, head_dim = like.shape
    # A view, because copies of full size cost more here than arithmetic.
    return flat.view(batch, heads, length + 1, head_dim)[:, :, :length].to(like.dtype)


def _clear_absent(flat: Tensor, rows: list[_Row], dense: str) -> Tensor:
    """Zero the vectors of tokens that no ordering has, which may hold anything, NaN included."""
    absent = torch.stack([getattr(row, dense).flatten().abs() == row.absent for row in rows]).all(0).nonzero()
    return flat.index_fill_(0, absent[:, 0], 0)


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
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, plan: _Plan, own: Tensor | None) -> Tensor:
        dtype = torch.promote_types(query.dtype, torch.float32)
        q = _clear_absent(_flat(query, dtype), plan.rows, "dense_query").mul_(plan.scale)
        k = _clear_absent(_flat(key, dtype), plan.rows, "dense_key")
        v = _clear_absent(_flat(value, dtype), plan.rows, "dense_key")
        largest = q.new_full((q.shape[0],), torch.finfo(dtype).min)
        total = q.new_zeros(q.shape[0])
        output = torch.zeros_like(q)
        for ordering in range(len(plan.rows)):
            for queries, keys, _, left_out in plan.tokens(ordering):
                scores = torch.bmm(_take(q, queries), _take(k, keys).transpose(1, 2))
                scores.masked_fill_(left_out, float("-inf"))
                flat = queries.flatten()
                before = _take(largest, queries)
                now = torch.maximum(before, scores.amax(-1))
                weights = scores.sub_(now[..., None]).exp_()
                added = weights.sum(-1, dtype=torch.float64).to(dtype)
                if ordering == 0:
                    # Nothing to merge with: a query stands in one tile of an ordering.
                    merged = torch.bmm(weights, _take(v, keys))
                else:
                    fade = (before - now).exp_()
                    added += _take(total, queries) * fade
                    merged = torch.baddbmm(_take(output, queries) * fade[..., None], weights, _take(v, keys))
                output.index_copy_(0, flat, merged.flatten(0, 1))
                total.index_copy_(0, flat, added.flatten())
                largest.index_copy_(0, flat, now.flatten())
        output /= total.where(total > 0, 1)[:, None]
        # A query that saw nothing keeps a log-sum-exp of +inf, so that the backward pass gives it no weight.
        log_sum = torch.where(total > 0, largest + total.log(), float("inf"))
        lonely = None
        if own is not None:
            lonely = _lonely(own, total, key.shape[2])
            output[lonely[0]] = v[lonely[1]]
        output = _unflat(output, query)
        ctx.plan, ctx.lonely = plan, lonely
        ctx.save_for_backward(query, key, value, output, log_sum)
        return output

    @staticmethod
    @once_differentiable
    @_without_autocast
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, output, log_sum = ctx.saved_tensors
        plan: _Plan = ctx.plan
        dtype = torch.promote_types(query.dtype, torch.float32)
        q = _clear_absent(_flat(query, dtype), plan.rows, "dense_query").mul_(plan.scale)
        k = _clear_absent(_flat(key, dtype), plan.rows, "dense_key")
        v = _clear_absent(_flat(value, dtype), plan.rows, "dense_key")
        grad = _clear_absent(_flat(grad_output, dtype), plan.rows, "dense_query")
        output = _flat(output, dtype)
        grad_q, grad_k, grad_v = torch.zeros_like(q), torch.empty_like(k), torch.empty_like(v)
        for ordering, row in enumerate(plan.rows):
            blocks_shape = (row.key_order.numel() // row.tile, row.tile * q.shape[-1])
            block_k, block_v = q.new_zeros(blocks_shape), q.new_zeros(blocks_shape)
            for queries, keys, blocks, left_out in plan.tokens(ordering):
                q_tile, k_tile, grad_tile = _take(q, queries), _take(k, keys), _take(grad, queries)
                delta = (grad_tile * _take(output, queries)).sum(-1)
                scores = torch.bmm(q_tile, k_tile.transpose(1, 2)).masked_fill_(left_out, float("-inf"))
                weights = scores.sub_(_take(log_sum, queries)[..., None]).exp_()
                grad_scores = torch.bmm(grad_tile, _take(v, keys).transpose(1, 2))
                grad_scores.sub_(delta[..., None]).mul_(weights)
                if ordering == 0:
                    added = torch.bmm(grad_scores, k_tile)
                else:
                    added = torch.baddbmm(_take(grad_q, queries), grad_scores, k_tile)
                grad_q.index_copy_(0, queries.flatten(), added.flatten(0, 1))
                where = blocks.flatten()
                block_k.index_add_(0, where, torch.bmm(grad_scores.transpose(1, 2), q_tile).view(len(where), -1))
                block_v.index_add_(0, where, torch.bmm(weights.transpose(1, 2), grad_tile).view(len(where), -1))
            numbers = _flat_numbers(row.key_order, row.dense_key.shape[-1]).flatten()
            for total, block in ((grad_k, block_k), (grad_v, block_v)):
                if ordering == 0:
                    # Every key stands in it, once.
                    total.index_copy_(0, numbers, block.view(-1, q.shape[-1]))
                else:
                    total.index_add_(0, numbers, block.view(-1, q.shape[-1]))
        if ctx.lonely is not None:
            queries, keys = ctx.lonely
            grad_v.index_add_(0, keys, grad[queries])
        grad_q.mul_(plan.scale)
        return _unflat(grad_q, query), _unflat(grad_k, key), _unflat(grad_v, value), None, None


def _take(vectors: Tensor, numbers: Tensor) -> Tensor:
    """`vectors[numbers]`, whole rows at a time, which on a CPU is several times faster than indexing."""
    return vectors.index_select(0, numbers.flatten()).view(*numbers.shape, *vectors.shape[1:])


def _lonely(own: Tensor, total: Tensor, keys: int) -> tuple[Tensor, Tensor]:
    """Flat numbers of the queries that saw nothing but are keys, and of those keys."""
    queries = own.shape[-1]
    row, at = ((total.view(-1, queries + 1)[:, :queries] == 0) & (own < keys)).nonzero().unbind(-1)
    return row * (queries + 1) + at, row * (keys + 1) + own[row, at]


def eager(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_slots: Tensor,
    key_slots: Tensor,
    *,
    windows: tuple[int, ...],
    causal: bool,
    attend_self: bool,
    deduplicate: bool,
    scale: float,
) -> Tensor:
    """See `window_attention`; arguments are checked there."""
    batch, heads = query.shape[:2]
    shared = query_slots is key_slots
    rows = []
    for ordering, window in enumerate(windows):
        keys = key_slots[:, :, ordering]
        queries = keys if shared else query_slots[:, :, ordering]
        rows.append(_lay_out(queries, keys, window, causal, batch, heads))
    plan = _Plan(rows, causal, attend_self, deduplicate, scale)
    own = None if attend_self else _own_key(query_slots, key_slots, batch, heads)
    return _EagerWindowAttention.apply(query, key, value, plan, own)  # pyright: ignore[reportReturnType]
