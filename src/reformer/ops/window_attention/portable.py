"""Window attention in standard operators whose shapes follow from the inputs' shapes, for graphs that leave Python.

As in `eager.py`, an ordering sorts its keys by slot, and a tile of queries, also in slot order, needs only the few keys
in a row that its windows can reach. Here all tiles are computed at once, each pair is looked at by its slots alone, and
every step is a sort, a sum, a gather or a product: what a compiler, `torch.export` or ONNX can take. Memory is linear
in the length, but for windows over `WIDE`, which are as good as full attention and computed as the definition is.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn.functional import embedding, pad

from reformer.ops import standard
from reformer.ops.unit_vectors import unit_vectors
from reformer.ops.window_attention import reference
from reformer.ops.window_attention.transforms import ScoreTransform

FAR = 1 << 62
"""Stands for the slot of an absent token, which is sorted behind every other."""

WIDE = 4096
"""A window over this is computed by the definition, whose memory is quadratic."""


def why_unsupported(
    query: Float[Tensor, "batch heads queries head_dim"], key: Float[Tensor, "batch heads length head_dim"]
) -> str | None:
    """None: PyTorch computes any call."""
    return None


def serves(query: Float[Tensor, "batch heads queries head_dim"]) -> bool:
    """Whether a graph is traced that no kernel serves."""
    return standard.is_traced()


@dataclass(frozen=True)
class _Tiles:
    """Tiles of queries in slot order, and the keys that each may see; a number as large as that of the tokens stands
    where there is none."""

    queries: Int[Tensor, "batch heads tiles tile"]
    keys: Int[Tensor, "batch heads tiles span"]
    place: Int[Tensor, "batch heads queries"]
    """Where every query stands among the places of all tiles."""


def attend(
    query: Float[Tensor, "batch heads queries head_dim"],
    key: Float[Tensor, "batch heads length head_dim"] | None,
    value: Float[Tensor, "batch heads length head_dim"],
    query_slots: Int[Tensor, "#batch #heads orderings queries"],
    key_slots: Int[Tensor, "#batch #heads orderings length"],
    *,
    windows: tuple[int, ...],
    causal: bool,
    attend_self: bool,
    deduplicate: bool,
    scale: float,
    transform: ScoreTransform | None = None,
) -> Float[Tensor, "batch heads queries head_dim"]:
    """See `window_attention`, which checks the arguments; without a key, keys are `unit_vectors(query)`."""
    if max(windows) > WIDE:
        return reference.attend(
            query,
            key,
            value,
            query_slots,
            key_slots,
            windows=windows,
            causal=causal,
            attend_self=attend_self,
            deduplicate=deduplicate,
            scale=scale,
            transform=transform,
        )
    batch, heads = query.shape[:2]
    dtype = torch.promote_types(query.dtype, torch.float32)
    # The vectors of absent tokens may hold NaN; a row of zeros stands for them.
    queries, keys = ((slots >= 0).any(2)[..., None] for slots in (query_slots, key_slots))
    query, value = query.where(queries, 0), value.where(keys, 0)
    key = unit_vectors(query) if key is None else key.where(keys, 0)
    rows = [pad(each, (0, 0, 0, 1)) for each in (query, key, value)]
    slots_q, slots_k = (pad(slots, (0, 1), value=-1).expand(batch, heads, -1, -1) for slots in (query_slots, key_slots))
    itself = None if attend_self else _self_keys(query_slots, key_slots).expand(batch, heads, -1)
    largest, total, output, some = [], [], [], []
    for ordering, window in enumerate(windows):
        shared = query_slots is key_slots
        tiles = _tiles(query_slots[:, :, ordering], None if shared else key_slots[:, :, ordering], window, causal)
        tiles = _Tiles(
            *(each.expand(batch, heads, *each.shape[2:]) for each in (tiles.queries, tiles.keys, tiles.place))
        )
        seen = _near(slots_q[:, :, ordering], slots_k[:, :, ordering], tiles, window, causal)
        for earlier in range(ordering if deduplicate else 0):
            seen = seen & ~_near(slots_q[:, :, earlier], slots_k[:, :, earlier], tiles, windows[earlier], causal)
        if itself is not None:
            own = _numbers(pad(itself, (0, 1), value=-1), tiles.queries)
            seen = seen & (own[..., None] != tiles.keys[..., None, :])
        q, k, v = (
            _vectors(each, at).to(dtype) for each, at in zip(rows, (tiles.queries, tiles.keys, tiles.keys), strict=True)
        )
        scores = scale * (q @ k.transpose(-1, -2))
        if transform is not None:
            scores = transform.value(
                scores.masked_fill(~seen, 0), transform.coefficients.to(dtype)[:, None, None, None]
            )
        scores = scores.masked_fill(~seen, torch.finfo(dtype).min)
        most = scores.detach().amax(-1)
        weights = (scores - most[..., None]).exp().masked_fill(~seen, 0)
        # In the order of the tokens again.
        largest.append(most.flatten(-2).gather(-1, tiles.place))
        some.append(seen.any(-1).flatten(-2).gather(-1, tiles.place))
        total.append(weights.sum(-1).flatten(-2).gather(-1, tiles.place))
        output.append(_vectors((weights @ v).flatten(2, 3), tiles.place))
    sees = torch.stack(some).any(0)
    merged = _merged(largest, total, output, sees)
    if itself is not None:
        alone = ~sees & (itself < value.shape[2])
        merged = torch.where(alone[..., None], _vectors(rows[2], itself).to(dtype), merged)
    return merged.to(query.dtype)


def _merged(
    largest: list[Tensor], total: list[Tensor], output: list[Tensor], sees: Bool[Tensor, "batch heads queries"]
) -> Float[Tensor, "batch heads queries head_dim"]:
    """One softmax over all orderings (equation 12); zeros for a query that sees nothing."""
    most = largest[0]
    for each in largest[1:]:
        most = torch.maximum(most, each)
    fades = [(each - most).exp() for each in largest]
    weight = sum(each * fade for each, fade in zip(total[1:], fades[1:], strict=True)) + total[0] * fades[0]
    joined = sum(each * fade[..., None] for each, fade in zip(output[1:], fades[1:], strict=True))
    joined = joined + output[0] * fades[0][..., None]
    return joined / weight.where(sees, 1)[..., None]


def _vectors(
    rows: Shaped[Tensor, "batch heads tokens width"], at: Int[Tensor, "batch heads *places"]
) -> Shaped[Tensor, "batch heads *places width"]:
    """The rows with these numbers."""
    batch, heads, tokens, width = rows.shape
    begin = torch.arange(batch * heads, device=rows.device) * tokens
    numbers = at + begin.view(batch, heads, *(1,) * (at.dim() - 2))
    # An embedding takes numbers of any shape, and is one gather wherever it is computed.
    return embedding(numbers, rows.reshape(batch * heads * tokens, width))


def _numbers(
    numbers: Int[Tensor, "batch heads tokens"], at: Int[Tensor, "batch heads tiles places"]
) -> Int[Tensor, "batch heads tiles places"]:
    """The numbers at these places."""
    return _vectors(numbers[..., None], at)[..., 0]


def _cut(order: Int[Tensor, "_ _ framed"], tiles: int, step: int, size: int) -> Int[Tensor, "_ _ tiles size"]:
    """Pieces of a row, each `step` after the one before. By an index, because a view would ask a compiler whether the
    row can be divided so."""
    begin = torch.arange(tiles, device=order.device) * step
    return order[..., begin[:, None] + torch.arange(size, device=order.device)]


def _near(
    query_slots: Int[Tensor, "batch heads _"],
    key_slots: Int[Tensor, "batch heads _"],
    tiles: _Tiles,
    window: int,
    causal: bool,
) -> Bool[Tensor, "batch heads tiles tile span"]:
    """Which pairs of each tile are near in an ordering (equation 5)."""
    queries, keys = _numbers(query_slots, tiles.queries)[..., None], _numbers(key_slots, tiles.keys)[..., None, :]
    distance = queries - keys
    near = ((distance >= 0) if causal else (distance > -window)) & (distance < window)
    return near & (queries >= 0) & (keys >= 0)


def _tile_size(window: int) -> int:
    # As in `eager.py`.
    return min(128, max(16, (1 << (window - 1).bit_length()) // 2))


def _tiles(
    queries: Int[Tensor, "_ _ queries"], keys: Int[Tensor, "_ _ length"] | None, window: int, causal: bool
) -> _Tiles:
    """The tiles of one ordering, from slots; without `keys` they are the queries' own."""
    tile = _tile_size(window)
    if keys is None:
        _, order = _sorted(queries)
        count = order.shape[-1]
        blocks = _blocks(count, tile)
        missing = blocks * tile - count
        before = -(-(window - 1) // tile) * tile
        after = 0 if causal else before
        of_queries = _cut(_framed(order, 0, missing), blocks, tile, tile)
        of_keys = _cut(_framed(order, before, missing + after), blocks, tile, before + tile + after)
        return _Tiles(of_queries, of_keys, _inverse(order))
    leading = torch.broadcast_shapes(queries.shape[:2], keys.shape[:2])
    queries, keys = queries.expand(*leading, -1), keys.expand(*leading, -1)
    key_slots, key_order = _sorted(keys)
    _, query_order = _sorted(queries)
    count, number = keys.shape[-1], queries.shape[-1]
    blocks = _blocks(count, tile)
    first = _rank(key_slots, queries - (window - 1)).gather(-1, query_order)
    # In ascending order. If the windows of a tile began in several blocks, its keys would be no run of one length.
    block = (first // tile).clamp_max(blocks - 1)
    block = block.where(queries.gather(-1, query_order) >= 0, blocks - 1)
    held = torch.zeros_like(block[..., :1]).expand(*leading, blocks).scatter_add(-1, block, torch.ones_like(block))
    tiles = (held + tile - 1) // tile
    upto_tiles, upto = tiles.cumsum(-1), held.cumsum(-1)
    within = torch.arange(number, device=block.device) - (upto - held).gather(-1, block)
    of_tile = (upto_tiles - tiles).gather(-1, block) + within // tile
    place = of_tile * tile + within % tile
    # An upper bound of the number of tiles.
    most = _blocks(number, tile) + blocks
    nothing = torch.zeros_like(block[..., :1])
    of_queries = (nothing + number).expand(*leading, most * tile).scatter(-1, place, query_order)
    start = nothing.expand(*leading, most).scatter(-1, of_tile, block) * tile
    span = tile + -(-(window - 1) * (1 if causal else 2) // tile) * tile
    row = _framed(key_order, 0, (blocks + 1) * tile - count + span)
    at = start[..., None] + torch.arange(span, device=start.device)
    of_keys = _numbers(row, at)
    place_of_token = torch.zeros_like(place).scatter(-1, query_order, place)
    return _Tiles(_cut(of_queries, most, tile, tile), of_keys, place_of_token)


def _blocks(count: int, tile: int) -> int:
    """One more than is needed: compilers make cases of their own of sizes of one."""
    return (count + tile - 1) // tile + 1


def _framed(order: Int[Tensor, "_ _ length"], before: int, after: int) -> Int[Tensor, "_ _ framed"]:
    """An order of tokens with their number, which is none's, before and behind it."""
    count = order.shape[-1]
    # With `pad`, what stands there is a constant of the traced length.
    return pad(order - count, (before, after)) + count


def _sorted(slots: Int[Tensor, "_ _ length"]) -> tuple[Int[Tensor, "_ _ length"], Int[Tensor, "_ _ length"]]:
    """The slots in ascending order, and the token of each; absent ones behind all others, in the sequence's order."""
    number = torch.arange(slots.shape[-1], device=slots.device)
    values, order = torch.where(slots < 0, FAR + number, slots).sort(-1)
    return values, order


def _inverse(order: Int[Tensor, "_ _ length"]) -> Int[Tensor, "_ _ length"]:
    place = torch.arange(order.shape[-1], device=order.device).expand_as(order)
    return torch.zeros_like(order).scatter(-1, order, place)


def _rank(
    keys: Int[Tensor, "batch heads length"], numbers: Int[Tensor, "batch heads count"]
) -> Int[Tensor, "batch heads count"]:
    """Of each number, how many keys are below it; the keys are ascending and distinct."""
    count = numbers.shape[-1]
    order = torch.cat((numbers, keys), -1).sort(-1).indices
    upto = (order >= count).long().cumsum(-1)
    rank = torch.zeros_like(upto).scatter(-1, order, upto)[..., :count]
    # An equal key may stand before its number.
    equal = (rank > 0) & (keys.gather(-1, (rank - 1).clamp_min(0)) >= numbers)
    return rank - equal.long()


def _self_keys(
    query_slots: Int[Tensor, "#batch #heads orderings queries"],
    key_slots: Int[Tensor, "#batch #heads orderings length"],
) -> Int[Tensor, "_ _ queries"]:
    """The key that is each query itself, see `eager_rows.self_keys`; the number of keys where there is none."""
    length = key_slots.shape[-1]
    if query_slots is key_slots:
        number: Shaped[Tensor, " length"] = torch.arange(length, device=key_slots.device)
        return torch.where((key_slots >= 0).any(2), number, length)
    leading = torch.broadcast_shapes(query_slots.shape[:2], key_slots.shape[:2])
    itself = torch.full_like(query_slots[:, :, 0], length).expand(*leading, -1)
    for ordering in range(query_slots.shape[2]):
        queries = query_slots[:, :, ordering].expand(*leading, -1)
        keys, order = _sorted(key_slots[:, :, ordering].expand(*leading, -1))
        at = _rank(keys, queries).clamp_max(length - 1)
        same = (keys.gather(-1, at) == queries) & (queries >= 0)
        itself = torch.where(same, order.gather(-1, at), itself)
    return itself
