"""Rows of `eager.py`: each ordering sorted by slot, and cut into tiles of queries and blocks of keys."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

SCORES_AT_ONCE = 1 << 18
"""Scores of a chunk of tiles, at most: with more they leave the processor's cache between two steps."""

FAR = 1 << 62
"""Stands for the slot of an absent token, which is sorted behind every other."""

_EXACT = 1 << 22
"""Places below this, and the middle between two of them, are exact in float32."""


@dataclass(frozen=True)
class Places:
    """Places of the tokens of all sequences (`batch x heads`) in one ordering, one row after the other.

    A buffer in slot order, `[size + 1, ...]`, has `before` unused places, then the places of all rows, and at `size`
    one more for tokens that have no place.
    """

    tokens: Int[Tensor, "sequences places"]
    """The token at each place; the number of tokens where there is none."""
    of_token: Int[Tensor, "sequences tokens"]
    """The place of every token in its buffer; `size` for a token that has none."""
    empty: Int[Tensor, " empty"]
    """The places, counted from the first, whose token is absent or missing."""
    before: int
    """Unused places of the buffer in front of the first."""
    size: int
    """The place of a buffer for tokens without one; all places are below it."""

    @classmethod
    def of(
        cls,
        tokens: Int[Tensor, "sequences places"],
        absent: Shaped[Tensor, "sequences places"],
        count: int,
        before: int = 0,
        after: int = 0,
    ) -> "Places":
        """From the tokens in slot order, whether they are absent (nonzero), and the number of tokens of a sequence."""
        size = before + tokens.numel() + after
        place = torch.arange(before, before + tokens.numel(), device=tokens.device).view_as(tokens)
        of_token = torch.full((len(tokens), count + 1), size, device=tokens.device).scatter_(1, tokens, place)
        return cls(tokens, of_token[:, :count], absent.flatten().nonzero()[:, 0], before, size)

    def sort(
        self, vectors: Float[Tensor, "batch heads tokens head_dim"], dtype: torch.dtype
    ) -> Float[Tensor, "buffer head_dim"]:
        """The vectors in slot order; zeros for absent tokens, which may hold NaN, and where there is no token."""
        batch, heads, count, head_dim = vectors.shape
        numbers = self.tokens.clamp_max(count - 1).view(batch, heads, -1)
        rows = torch.arange(batch * heads, device=numbers.device).view(batch, heads, 1)
        if _is_length_first(vectors):
            vectors, numbers = vectors.transpose(1, 2), (numbers + rows // heads * count) * heads + rows % heads
        else:
            numbers = numbers + rows * count
        return self._framed(vectors.reshape(-1, head_dim), numbers.flatten(), dtype).index_fill_(
            0, self.empty + self.before, 0
        )

    def numbers(self, step: int) -> Int[Tensor, " all_places"]:
        """The token at each place as an index into all sequences, of which each has `step` numbers."""
        return (self.tokens + torch.arange(len(self.tokens), device=self.tokens.device)[:, None] * step).flatten()

    def carry(
        self, values: Shaped[Tensor, "earlier_buffer *rest"], earlier: "Places", fill: float = 0.0
    ) -> Shaped[Tensor, "buffer *rest"]:
        """Values of tokens in the order of another ordering, put into the order of this one."""
        place = _pad(earlier.of_token, 1, earlier.size)
        return self._framed(values, place.gather(1, self.tokens).flatten(), values.dtype, fill)

    def _framed(
        self,
        rows: Shaped[Tensor, "rows *rest"],
        numbers: Int[Tensor, " all_places"],
        dtype: torch.dtype,
        fill: float = 0.0,
    ) -> Shaped[Tensor, "buffer *rest"]:
        """A buffer of the rows with these numbers, `fill` before and behind them."""
        buffer = rows.new_empty(self.size + 1, *rows.shape[1:], dtype=dtype)
        end = self.before + numbers.numel()
        buffer[: self.before], buffer[end:] = fill, fill
        if dtype == rows.dtype:
            torch.index_select(rows, 0, numbers, out=buffer[self.before : end])
        else:
            buffer[self.before : end] = rows.index_select(0, numbers)
        return buffer

    def unsort(
        self, buffer: Float[Tensor, "buffer head_dim"], like: Float[Tensor, "batch heads tokens head_dim"]
    ) -> Float[Tensor, "batch heads tokens head_dim"]:
        """The inverse of `sort`, in the layout and dtype of `like`."""
        batch, heads, count, head_dim = like.shape
        place = self.of_token.view(batch, heads, count)
        if _is_length_first(like):
            rows = buffer.index_select(0, place.transpose(1, 2).flatten())
            return rows.view(batch, count, heads, head_dim).transpose(1, 2).to(like.dtype)
        return buffer.index_select(0, place.flatten()).view(like.shape).to(like.dtype)


def _is_length_first(vectors: Float[Tensor, "batch heads tokens head_dim"]) -> bool:
    """Whether the heads of a token lie side by side, as a projection leaves them."""
    return vectors.transpose(1, 2).is_contiguous()


@dataclass(frozen=True)
class Range:
    """Ranges of places, `|place - middle| <= half`, in numbers that float arithmetic keeps exact."""

    middle: Float[Tensor, "*any"]
    half: Float[Tensor, "*any"]

    @classmethod
    def of(cls, first: Int[Tensor, "*any"], end: Int[Tensor, "*any"], dtype: torch.dtype) -> "Range":
        """From the first place up to but not including `end`; empty where they are equal."""
        return cls((first + end - 1).to(dtype) / 2, (end - 1 - first).to(dtype) / 2)

    def outside(self, places: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """1 for places outside the range, 0 for others, `[*any, places]`. A CPU is several times slower with bools."""
        return (places - self.middle[..., None]).abs_().sub_(self.half[..., None]).clamp_(0, 1)


@dataclass(frozen=True)
class Seen:
    """The pairs that an earlier ordering sees, in the order of a later one: each query's range, each key's place."""

    ranges: Range
    places: Float[Tensor, " key_buffer"]


@dataclass(frozen=True)
class Row:
    """One ordering, cut into tiles of queries and blocks of keys, both of `tile` tokens."""

    tile: int
    span: int
    """Blocks that a tile of queries needs."""
    queries: Places
    keys: Places
    start: Int[Tensor, " tiles"] | None
    """The first block of each tile, counted in the keys' buffer; None where tile `i` begins in block `i`."""
    first: Int[Tensor, " query_places"]
    """The first place of the keys' buffer that a query sees."""
    end: Int[Tensor, " query_places"]
    """The place after the last that a query sees."""
    self_place: Int[Tensor, " query_places"] | None
    """The place of the key that is the query itself and is masked, -1 for none; None if no key is masked so, or the
    ranges leave it out already."""

    def chunks(self) -> Iterator[slice]:
        """Runs of tiles whose scores are computed at a time."""
        tiles = self.queries.size // self.tile
        size = max(1, SCORES_AT_ONCE // (self.tile * self.tile * self.span))
        for begin in range(0, tiles, size):
            yield slice(begin, min(begin + size, tiles))

    def query_tiles(self, buffer: Shaped[Tensor, "buffer *rest"], chunk: slice) -> Shaped[Tensor, "tiles tile *rest"]:
        """A view of a buffer of queries, tile by tile."""
        return buffer[: self.queries.size].view(-1, self.tile, *buffer.shape[1:])[chunk]

    def key_tiles(self, buffer: Float[Tensor, "buffer head_dim"], chunk: slice) -> Float[Tensor, "tiles keys head_dim"]:
        """The `span * tile` keys that each tile of queries may see, from a buffer of keys."""
        head_dim, keys = buffer.shape[1], self.span * self.tile
        if self.start is None:
            step = self.tile * head_dim
            shape, strides = (chunk.stop - chunk.start, keys, head_dim), (step, head_dim, 1)
            return buffer.as_strided(shape, strides, buffer.storage_offset() + chunk.start * step)
        blocks = buffer[: self.keys.size].view(-1, self.tile * head_dim)
        return blocks.index_select(0, self._blocks(self.start[chunk])).view(-1, keys, head_dim)

    def _blocks(self, start: Int[Tensor, " tiles"]) -> Int[Tensor, " blocks"]:
        return (start[:, None] + torch.arange(self.span, device=start.device)).flatten()

    def add_to_keys(
        self,
        buffer: Float[Tensor, "buffer head_dim"],
        chunk: slice,
        pairs: Float[Tensor, "tiles tile keys"],
        vectors: Float[Tensor, "tiles tile head_dim"],
    ) -> None:
        """Add the numbers of the pairs, times the vectors of their queries, to a buffer of keys."""
        if self.start is not None:
            added = torch.bmm(pairs.transpose(1, 2), vectors)
            blocks = buffer[: self.keys.size].view(-1, self.tile * buffer.shape[1])
            blocks.index_add_(0, self._blocks(self.start[chunk]), added.view(-1, blocks.shape[1]))
            return
        blocks = buffer[: self.keys.size].view(-1, self.tile, buffer.shape[1])
        for step in range(self.span):
            part = pairs[:, :, step * self.tile : (step + 1) * self.tile].transpose(1, 2)
            target = blocks[chunk.start + step : chunk.stop + step]
            torch.baddbmm(target, part, vectors, out=target)

    def seen(self, earlier: "Row") -> Seen:
        """The pairs that an earlier ordering sees, in the order of this one."""
        dtype = torch.float32 if earlier.keys.size < _EXACT else torch.float64
        place = torch.arange(earlier.keys.size + 1, device=self.first.device, dtype=dtype)
        first, end = (self.queries.carry(_pad(bound, 1, 0), earlier.queries) for bound in (earlier.first, earlier.end))
        return Seen(Range.of(first, end, dtype), self.keys.carry(place, earlier.keys, fill=-1.0))

    def left_out(self, chunk: slice, seen: list[Seen]) -> Float[Tensor, "tiles tile keys"]:
        """1 for every pair that this ordering does not see or that an earlier one sees, 0 for the others."""
        first, end = (self.query_tiles(bound, chunk) for bound in (self.first, self.end))
        begin = torch.arange(chunk.start, chunk.stop, device=first.device) if self.start is None else self.start[chunk]
        begin = begin[:, None] * self.tile
        # Counted from the first key of the tile, places are small enough to be exact in float32.
        places = torch.arange(self.span * self.tile, device=begin.device, dtype=torch.float32)
        left_out = Range.of(first - begin, end - begin, torch.float32).outside(places)
        if self.self_place is not None:
            itself = (self.query_tiles(self.self_place, chunk) - begin).float()
            left_out = torch.maximum(left_out, 1 - Range(itself, torch.zeros_like(itself)).outside(places))
        for each in seen:
            ranges = Range(*(self.query_tiles(bound, chunk) for bound in (each.ranges.middle, each.ranges.half)))
            outside = ranges.outside(self.key_tiles(each.places[:, None], chunk)[:, None, :, 0])
            left_out = torch.maximum(left_out, 1 - outside.to(left_out.dtype))
        return left_out


def lay_out(
    query_slots: Int[Tensor, "#batch #heads queries"],
    key_slots: Int[Tensor, "#batch #heads length"],
    window: int,
    causal: bool,
    attend_self: bool,
    batch: int,
    heads: int,
    self_key: Int[Tensor, "_ _ queries"] | None = None,
) -> Row:
    """One ordering, sorted by slot, with the blocks of keys that each tile of queries needs.

    `self_key` is the key that is each query itself, see `self_keys`. Without `attend_self`, queries with slots of their
    own need it.
    """
    shared = query_slots is key_slots
    tile = _tile_size(window)
    keys, key_order = _sorted(key_slots)
    queries, query_order = (keys, key_order) if shared else _sorted(query_slots)
    leading = torch.broadcast_shapes(keys.shape[:2], queries.shape[:2])
    keys, queries, query_order = (
        each.expand(*leading, each.shape[-1]).contiguous() for each in (keys, queries, query_order)
    )
    first, end, self_place = _ranges(queries, keys, window, causal, attend_self or not shared)
    if self_key is not None and not shared:
        self_place = _places_of(self_key.expand(*leading, -1).gather(-1, query_order), key_order.expand_as(keys))
    count, number = keys.shape[-1], queries.shape[-1]
    blocks = -(-count // tile)
    reach = min(-(-(window - 1) // tile), blocks)
    span = 1 + reach * (1 if causal else 2)
    absent = queries == FAR
    start = None
    if not shared:
        # If the windows of a tile began in several blocks, its keys would not be one run of `span` blocks. Without a
        # place for absent queries, the results that earlier orderings left for them would be lost.
        starts = (first // tile).clamp_max(blocks - 1)
        places, start = _tiles_by_start(starts, tile, blocks)
        query_order, first, end, absent = (
            _pad(each, 1, fill).gather(-1, places)
            for each, fill in ((query_order, number), (first, 0), (end, 0), (absent, 1))
        )
        self_place = None if self_place is None else _pad(self_place, 1, -1).gather(-1, places)
    row = torch.arange(batch * heads, device=keys.device)[:, None] * blocks
    offset = (reach + row) * tile

    def tiled(each: Tensor, fill: int) -> Tensor:
        return _rows(_pad(each, -each.shape[-1] % tile, fill), batch, heads)

    first, end = (tiled(bound.masked_fill(absent, 0), 0) + offset for bound in (first, end))
    self_place = None if self_place is None else tiled(self_place, -1)
    return Row(
        tile=tile,
        span=span,
        queries=Places.of(tiled(query_order, number), tiled(absent, 1), number),
        keys=Places.of(
            tiled(key_order.expand(*leading, count), count),
            tiled(keys == FAR, 1),
            count,
            reach * tile,
            (span - 1) * tile,
        ),
        start=None if start is None else (_rows(start, batch, heads) + reach + row).flatten(),
        first=first.flatten(),
        end=end.flatten(),
        self_place=None if self_place is None else torch.where(self_place < 0, -1, self_place + offset).flatten(),
    )


def _tile_size(window: int) -> int:
    # Half a window: three blocks of half a window for a tile of queries hold fewer masked pairs than two of a window.
    return min(128, max(16, (1 << (window - 1).bit_length()) // 2))


def _sorted(slots: Int[Tensor, "*any length"]) -> tuple[Int[Tensor, "*any length"], Int[Tensor, "*any length"]]:
    return slots.masked_fill(slots < 0, FAR).sort(dim=-1)


def _rows(tensor: Shaped[Tensor, "#batch #heads length"], batch: int, heads: int) -> Shaped[Tensor, "sequences length"]:
    return tensor.expand(batch, heads, tensor.shape[-1]).reshape(batch * heads, tensor.shape[-1])


def _pad(tensor: Shaped[Tensor, "*any length"], more: int, fill: int) -> Shaped[Tensor, "*any padded"]:
    return torch.nn.functional.pad(tensor, (0, more), value=fill)


def _ranges(
    queries: Int[Tensor, "batch heads queries"],
    keys: Int[Tensor, "batch heads length"],
    window: int,
    causal: bool,
    attend_self: bool,
) -> tuple[
    Int[Tensor, "batch heads queries"], Int[Tensor, "batch heads queries"], Int[Tensor, "batch heads queries"] | None
]:
    """The range of sorted keys that each of the sorted queries sees: its first place, the place after the last, and, if
    it has to be masked in between, the place of the key that is the query itself."""
    first = torch.searchsorted(keys, queries - (window - 1))
    if causal:
        return first, torch.searchsorted(keys, queries, right=attend_self), None
    end = torch.searchsorted(keys, (queries + (window - 1)).clamp_max(FAR - 1), right=True)
    if attend_self:
        return first, end, None
    place = torch.searchsorted(keys, queries)
    is_key = keys.gather(-1, place.clamp_max(keys.shape[-1] - 1)) == queries
    return first, end, place.masked_fill(~is_key, -1)


def _places_of(
    tokens: Int[Tensor, "batch heads queries"], order: Int[Tensor, "batch heads length"]
) -> Int[Tensor, "batch heads queries"]:
    """The places of tokens in a row of them; -1 for a number that is no token's."""
    length = order.shape[-1]
    places = torch.arange(length, device=order.device).expand_as(order)
    return _pad(torch.empty_like(order).scatter_(-1, order, places), 1, -1).gather(-1, tokens)


def _tiles_by_start(
    starts: Int[Tensor, "batch heads queries"], tile: int, blocks: int
) -> tuple[Int[Tensor, "batch heads tile_places"], Int[Tensor, "batch heads tiles"]]:
    """Tiles of sorted queries whose windows begin in one block of keys, so that `span` blocks hold all they see.

    Args:
        starts: ascending; the block that a query's window begins in.

    Returns:
        The places of each tile's queries, `tiles * tile` of them, the number of queries where there is none; and the
        block that each tile begins in.
    """
    leading, queries = starts.shape[:2], starts.shape[2]
    every_block = torch.arange(blocks, device=starts.device).expand(*leading, blocks).contiguous()
    begin = torch.searchsorted(starts, every_block)
    end = torch.searchsorted(starts, every_block, right=True)
    tiles = (end - begin + tile - 1) // tile
    upto = tiles.cumsum(-1)
    # An upper bound of the number of tiles: a shape that depends on the data makes the host wait, and breaks graphs.
    most = -(-queries // tile) + blocks
    number = torch.arange(most, device=starts.device).expand(*leading, most).contiguous()
    block = torch.searchsorted(upto, number, right=True)
    real = block < blocks
    block = block.clamp_max(blocks - 1)
    first = begin.gather(-1, block) + (number - (upto - tiles).gather(-1, block)) * tile
    places = first[..., None] + torch.arange(tile, device=starts.device)
    inside = (places < end.gather(-1, block)[..., None]) & real[..., None]
    return places.where(inside, queries).flatten(-2), block


def self_keys(
    query_slots: Int[Tensor, "#batch #heads orderings queries"],
    key_slots: Int[Tensor, "#batch #heads orderings length"],
) -> Int[Tensor, "_ _ queries"]:
    """The key that is each query itself, the one at its slot in the last ordering that has one; the number of keys
    where there is none."""
    length = key_slots.shape[-1]
    if query_slots is key_slots:
        present = (key_slots >= 0).any(2)
        return torch.arange(length, device=present.device).where(present, length)
    leading = torch.broadcast_shapes(query_slots.shape[:2], key_slots.shape[:2])
    self_key = torch.full((*leading, query_slots.shape[-1]), length, device=query_slots.device)
    for ordering in range(query_slots.shape[2]):
        keys, order = (each.expand(*leading, -1).contiguous() for each in _sorted(key_slots[:, :, ordering]))
        queries = query_slots[:, :, ordering].expand(*leading, -1).contiguous()
        at = torch.searchsorted(keys, queries).clamp_max(length - 1)
        same = (keys.gather(-1, at) == queries) & (queries >= 0)
        self_key = torch.where(same, order.gather(-1, at), self_key)
    return self_key
