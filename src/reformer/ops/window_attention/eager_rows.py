"""The rows that plain window attention walks: each ordering sorted by slot and cut into tiles and blocks."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

SCORES_AT_ONCE = 1 << 18
"""How many scores a chunk of tiles holds: few enough to stay near the processor's cache."""

FAR = 1 << 62
"""Where absent tokens are sorted to: behind every slot."""

_EXACT = 1 << 22
"""Places below this, and the middle between two of them, are exact in float32."""


@dataclass(frozen=True)
class Places:
    """Where the tokens of all sequences (`batch x heads` of them) stand in one ordering, row behind row."""

    tokens: Tensor
    """[sequences, places]: which token stands there; the number of tokens where there is none."""
    of_token: Tensor
    """[sequences, tokens]: the place of every token in its buffer; `size` for a token that has none."""
    empty: Tensor
    """[n]: the places, counted from the first, whose token is absent or missing."""
    before: int
    """How many places the buffer has in front of the first."""
    size: int
    """How long a buffer is; it has one more place behind, for what has none."""

    @classmethod
    def of(cls, tokens: Tensor, absent: Tensor, count: int, before: int = 0, after: int = 0) -> "Places":
        """Of the tokens in slot order, and whether they are absent, `[sequences, places]` both."""
        size = before + tokens.numel() + after
        place = torch.arange(before, before + tokens.numel(), device=tokens.device).view_as(tokens)
        of_token = torch.full((len(tokens), count + 1), size, device=tokens.device).scatter_(1, tokens, place)
        return cls(tokens, of_token[:, :count], absent.flatten().nonzero()[:, 0], before, size)

    def sort(self, vectors: Tensor, dtype: torch.dtype) -> Tensor:
        """`[batch, heads, tokens, head_dim]` in slot order, `[size + 1, head_dim]`; zeros where there is no token, as
        absent ones may hold anything, NaN included."""
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

    def numbers(self, step: int) -> Tensor:
        """The token of each place, where sequences lie behind each other, `step` numbers apart."""
        return (self.tokens + torch.arange(len(self.tokens), device=self.tokens.device)[:, None] * step).flatten()

    def carry(self, values: Tensor, earlier: "Places", fill: float = 0.0) -> Tensor:
        """What each token has in another ordering, `[earlier.size + 1, ...]`, in the order of this one."""
        place = _pad(earlier.of_token, 1, earlier.size)
        return self._framed(values, place.gather(1, self.tokens).flatten(), values.dtype, fill)

    def _framed(self, rows: Tensor, numbers: Tensor, dtype: torch.dtype, fill: float = 0.0) -> Tensor:
        buffer = rows.new_empty(self.size + 1, *rows.shape[1:], dtype=dtype)
        end = self.before + numbers.numel()
        buffer[: self.before], buffer[end:] = fill, fill
        if dtype == rows.dtype:
            torch.index_select(rows, 0, numbers, out=buffer[self.before : end])
        else:
            buffer[self.before : end] = rows.index_select(0, numbers)
        return buffer

    def unsort(self, buffer: Tensor, like: Tensor) -> Tensor:
        """From slot order, `[size + 1, head_dim]`, to the shape, layout and dtype of `like`."""
        batch, heads, count, head_dim = like.shape
        place = self.of_token.view(batch, heads, count)
        if _is_length_first(like):
            rows = buffer.index_select(0, place.transpose(1, 2).flatten())
            return rows.view(batch, count, heads, head_dim).transpose(1, 2).to(like.dtype)
        return buffer.index_select(0, place.flatten()).view(like.shape).to(like.dtype)


def _is_length_first(vectors: Tensor) -> bool:
    """Whether heads lie beside each other, as a projection leaves them: then they are read and written so."""
    return vectors.transpose(1, 2).is_contiguous()


@dataclass(frozen=True)
class Range:
    """Runs of places, `|place - middle| <= half`, in numbers that float arithmetic keeps exact."""

    middle: Tensor
    half: Tensor

    @classmethod
    def of(cls, first: Tensor, end: Tensor, dtype: torch.dtype) -> "Range":
        """From the first place to before `end`; none where they are equal."""
        return cls((first + end - 1).to(dtype) / 2, (end - 1 - first).to(dtype) / 2)

    def outside(self, places: Tensor) -> Tensor:
        """1 for places that lie outside, 0 for others. Floats: a CPU is several times slower with bools."""
        return (places - self.middle[..., None]).abs_().sub_(self.half[..., None]).clamp_(0, 1)


@dataclass(frozen=True)
class Seen:
    """What the queries and keys of one ordering know of an earlier one: the pairs that were seen there."""

    ranges: Range
    places: Tensor


@dataclass(frozen=True)
class Row:
    """One ordering, ready to be walked: tiles of queries, blocks of keys, both of `tile` tokens."""

    tile: int
    span: int
    """How many blocks a tile of queries needs."""
    queries: Places
    keys: Places
    start: Tensor | None
    """[tiles]: the first block of each tile, counted in the keys' buffer; None where tile `i` begins in block `i`."""
    first: Tensor
    """[places of queries]: the first place of the keys' buffer that a query sees."""
    end: Tensor
    """The one after the last."""
    own: Tensor | None
    """The place of the key that is the query itself and is not to be seen, -1 for none; None if there is no such rule
    or the ranges leave it out already."""

    def chunks(self) -> Iterator[slice]:
        """Tiles to be worked on at a time."""
        tiles = self.queries.size // self.tile
        size = max(1, SCORES_AT_ONCE // (self.tile * self.tile * self.span))
        for begin in range(0, tiles, size):
            yield slice(begin, min(begin + size, tiles))

    def query_tiles(self, buffer: Tensor, chunk: slice) -> Tensor:
        """A view, `[tiles, tile, ...]`, of a buffer of queries."""
        return buffer[: self.queries.size].view(-1, self.tile, *buffer.shape[1:])[chunk]

    def key_tiles(self, buffer: Tensor, chunk: slice) -> Tensor:
        """The keys that each tile of queries may see, `[tiles, span * tile, head_dim]`, from a buffer of keys."""
        head_dim, keys = buffer.shape[1], self.span * self.tile
        if self.start is None:
            step = self.tile * head_dim
            shape, strides = (chunk.stop - chunk.start, keys, head_dim), (step, head_dim, 1)
            return buffer.as_strided(shape, strides, buffer.storage_offset() + chunk.start * step)
        blocks = buffer[: self.keys.size].view(-1, self.tile * head_dim)
        return blocks.index_select(0, self._blocks(self.start[chunk])).view(-1, keys, head_dim)

    def _blocks(self, start: Tensor) -> Tensor:
        return (start[:, None] + torch.arange(self.span, device=start.device)).flatten()

    def add_to_keys(self, buffer: Tensor, chunk: slice, pairs: Tensor, vectors: Tensor) -> None:
        """Add `pairs` (`[tiles, tile, span * tile]`) times the vectors of their queries to a buffer of keys."""
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
        """The pairs of an earlier ordering, in the order of this one."""
        dtype = torch.float32 if earlier.keys.size < _EXACT else torch.float64
        place = torch.arange(earlier.keys.size + 1, device=self.first.device, dtype=dtype)
        first, end = (self.queries.carry(_pad(bound, 1, 0), earlier.queries) for bound in (earlier.first, earlier.end))
        return Seen(Range.of(first, end, dtype), self.keys.carry(place, earlier.keys, fill=-1.0))

    def left_out(self, chunk: slice, seen: list[Seen]) -> Tensor:
        """1 for every pair of `[tiles, tile, span * tile]` that this ordering does not show or an earlier one did, 0
        for the others."""
        first, end = (self.query_tiles(bound, chunk) for bound in (self.first, self.end))
        begin = torch.arange(chunk.start, chunk.stop, device=first.device) if self.start is None else self.start[chunk]
        begin = begin[:, None] * self.tile
        # Counted from the first key of the tile, places are small.
        places = torch.arange(self.span * self.tile, device=begin.device, dtype=torch.float32)
        left_out = Range.of(first - begin, end - begin, torch.float32).outside(places)
        if self.own is not None:
            own = (self.query_tiles(self.own, chunk) - begin).float()
            left_out = torch.maximum(left_out, 1 - Range(own, torch.zeros_like(own)).outside(places))
        for each in seen:
            ranges = Range(*(self.query_tiles(bound, chunk) for bound in (each.ranges.middle, each.ranges.half)))
            outside = ranges.outside(self.key_tiles(each.places[:, None], chunk)[:, None, :, 0])
            left_out = torch.maximum(left_out, 1 - outside.to(left_out.dtype))
        return left_out


def lay_out(
    query_slots: Tensor, key_slots: Tensor, window: int, causal: bool, attend_self: bool, batch: int, heads: int
) -> Row:
    """Sort one ordering and find what each tile of queries needs. Slots are `[batch or 1, heads or 1, length]`."""
    shared = query_slots is key_slots
    tile = _tile_size(window)
    keys, key_order = _sorted(key_slots)
    queries, query_order = (keys, key_order) if shared else _sorted(query_slots)
    leading = torch.broadcast_shapes(keys.shape[:2], queries.shape[:2])
    keys, queries, query_order = (
        each.expand(*leading, each.shape[-1]).contiguous() for each in (keys, queries, query_order)
    )
    first, end, own = _ranges(queries, keys, window, causal, attend_self)
    count, number = keys.shape[-1], queries.shape[-1]
    blocks = -(-count // tile)
    reach = min(-(-(window - 1) // tile), blocks)
    span = 1 + reach * (1 if causal else 2)
    absent = queries == FAR
    start = None
    if not shared:
        # A tile's queries all begin in one block, so that one stretch of keys holds whatever they see. Absent queries
        # have a place too: without one, what they saw in earlier orderings would be lost.
        starts = (first // tile).clamp_max(blocks - 1)
        places, start = _tiles_by_start(starts, tile, blocks)
        query_order, first, end, absent = (
            _pad(each, 1, fill).gather(-1, places)
            for each, fill in ((query_order, number), (first, 0), (end, 0), (absent, 1))
        )
        own = None if own is None else _pad(own, 1, -1).gather(-1, places)
    row = torch.arange(batch * heads, device=keys.device)[:, None] * blocks
    offset = (reach + row) * tile

    def tiled(each: Tensor, fill: int) -> Tensor:
        return _rows(_pad(each, -each.shape[-1] % tile, fill), batch, heads)

    first, end = (tiled(bound.masked_fill(absent, 0), 0) + offset for bound in (first, end))
    own = None if own is None else tiled(own, -1)
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
        own=None if own is None else torch.where(own < 0, -1, own + offset).flatten(),
    )


def _tile_size(window: int) -> int:
    # Half a window: three blocks of keys for a tile of queries hold fewer pairs that are not seen than two of a window.
    return min(128, max(16, (1 << (window - 1).bit_length()) // 2))


def _sorted(slots: Tensor) -> tuple[Tensor, Tensor]:
    return slots.masked_fill(slots < 0, FAR).sort(dim=-1)


def _rows(tensor: Tensor, batch: int, heads: int) -> Tensor:
    return tensor.expand(batch, heads, tensor.shape[-1]).reshape(batch * heads, tensor.shape[-1])


def _pad(tensor: Tensor, more: int, fill: int) -> Tensor:
    return torch.nn.functional.pad(tensor, (0, more), value=fill)


def _ranges(
    queries: Tensor, keys: Tensor, window: int, causal: bool, attend_self: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Of sorted queries among sorted keys: the first key that is seen, the one after the last, and the place of the
    query's own key where it has to be left out of what lies between."""
    first = torch.searchsorted(keys, queries - (window - 1))
    if causal:
        return first, torch.searchsorted(keys, queries, right=attend_self), None
    end = torch.searchsorted(keys, (queries + (window - 1)).clamp_max(FAR - 1), right=True)
    if attend_self:
        return first, end, None
    own = torch.searchsorted(keys, queries)
    is_key = keys.gather(-1, own.clamp_max(keys.shape[-1] - 1)) == queries
    return first, end, own.masked_fill(~is_key, -1)


def _tiles_by_start(starts: Tensor, tile: int, blocks: int) -> tuple[Tensor, Tensor]:
    """Tiles of sorted queries whose windows begin in one block of keys, so that one item holds all they see.

    Args:
        starts: `[batch, heads, queries]`, ascending: the block a query's window begins in.

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


def own_keys(query_slots: Tensor, key_slots: Tensor, batch: int, heads: int) -> Tensor:
    """`[batch * heads, queries]`: the number of the key that is each query itself; the number of keys where there is
    none."""
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
