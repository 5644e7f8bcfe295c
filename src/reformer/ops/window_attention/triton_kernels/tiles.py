"""Device functions of both directions: a program's place, its tile of queries, and a block of keys."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
from typing import no_type_check

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
@no_type_check
def workplace(program, tiles, heads, row_batch, row_head, key_row_batch, key_row_head):
    """The tile, batch item and head of a program.

    Returns:
        The tile's number, the pair of batch item and head, these two, and the pair's rows of queries and of keys.
    """
    pair = program // tiles
    item, head = pair // heads, pair % heads
    return (
        program % tiles, pair, item, head,
        item * row_batch + head * row_head, item * key_row_batch + head * key_row_head,
    )  # fmt: skip


@triton.jit
@no_type_check
def exact_scale(high, low, exact: tl.constexpr):
    """The scale with the digits of float64, which launches pass in two parts."""
    return tl.cast(high, exact) + tl.cast(low, exact)


@triton.jit
@no_type_check
def to_base_2(transform: tl.constexpr):
    """The factor that makes scores exponents of 2; transformed scores are multiplied by it after the transform."""
    if transform == 0:
        factor: tl.constexpr = LOG2_E
    else:
        factor: tl.constexpr = 1.0
    return factor


@triton.jit
@no_type_check
def rows(base, tokens, step, wanted, dim: tl.constexpr, wide: tl.constexpr, dtype: tl.constexpr):
    """Load `[tokens, wide]`, zero for tokens that are not `wanted`: those of absent tokens may hold NaN."""
    column = tl.arange(0, wide)
    vectors = tl.load(
        base + tokens[:, None] * step + column[None, :], mask=wanted[:, None] & (column < dim)[None, :], other=0.0
    )
    return vectors.to(dtype)


@triton.jit
@no_type_check
def put(base, tokens, step, inside, what, dim: tl.constexpr, wide: tl.constexpr):
    """Store `[tokens, wide]` where `rows` loads it from."""
    column = tl.arange(0, wide)
    tl.store(
        base + tokens[:, None] * step + column[None, :],
        what.to(base.dtype.element_ty),
        mask=inside[:, None] & (column < dim)[None, :],
    )


@triton.jit
@no_type_check
def range_of(seen, index, inside):
    """The first place and the size of the range that a query sees, both int32; 0 outside."""
    both = tl.load(seen + index, mask=inside, other=0)
    return (both >> 32).to(tl.int32), (both & 0xFFFFFFFF).to(tl.int32)


@triton.jit
@no_type_check
def tile_of(
    query, query_step, order, seen, self_key, at, end, orderings, ordering,
    one_row: tl.constexpr, attend_self: tl.constexpr, dim: tl.constexpr, wide: tl.constexpr, product: tl.constexpr,
):  # fmt: skip
    """The queries at some places of a row, which ends at `end`.

    Returns:
        token, int64; inside, whether there is one; low, size, the range that it sees; vectors `[tile, wide]`, zero
        where it sees nothing; itself, the key that is the query.
    """
    inside = at < end
    token = tl.load(order + at, mask=inside, other=0).to(tl.int64)
    low, size = range_of(seen, token * orderings + ordering, inside)
    vectors = rows(query, token, query_step, size > 0, dim, wide, product)
    itself = token
    if not attend_self and not one_row:
        itself = tl.load(self_key + token, mask=inside, other=-1).to(tl.int64)
    return token, inside, low, size, vectors, itself


@triton.jit
@no_type_check
def within(places, low, size):
    """`[queries, keys]`: whether a place is in a query's range."""
    return (places[None, :] - low[:, None]).to(tl.uint32) < size.to(tl.uint32)[:, None]


@triton.jit
@no_type_check
def inverse_lengths(vectors, shortest, exact: tl.constexpr):
    """The inverse of each row's length, or of `shortest` if the row is shorter."""
    vectors = vectors.to(exact)
    return 1.0 / tl.maximum(tl.sqrt(tl.sum(vectors * vectors, 1)), tl.zeros((1,), exact) + shortest)


@triton.jit
@no_type_check
def pairs(
    low, size, places, query, key, self_key, self_only, seen, key_places, orderings, ordering, inside, here,
    first: tl.constexpr, deduplicate: tl.constexpr, attend_self: tl.constexpr,
):  # fmt: skip
    """`[queries, keys]`: which pairs of a tile count in this ordering.

    Args:
        low, size: of the queries in this ordering; places: of the keys.
        query, key: the tokens, int64. self_key: the key that is the query itself. inside, here: whether they exist.
        self_only: the queries that see nothing but themselves, which only the backward pass knows.
        seen, key_places: of this batch item and head, all orderings. A pair counts in the first ordering that sees it.
    """
    met = within(places, low, size)
    itself = key[None, :] == self_key[:, None]
    if not attend_self:
        met &= (itself == 0) | self_only[:, None]
    if not first:
        if deduplicate or not attend_self:
            for earlier in range(ordering):
                their_low, their_size = range_of(seen, query * orderings + earlier, inside)
                place = tl.load(key_places + key * orderings + earlier, mask=here, other=-1)
                again = within(place, their_low, their_size)
                if not deduplicate:
                    # A token that sees nothing but itself has a weight of one, however many orderings it is in.
                    again &= itself
                met &= again == 0
    return met


@triton.jit
@no_type_check
def block_of(
    start, end, query, token, self_key, inside, low, size, self_only,
    key, key_step, order, seen, places, orderings, ordering, scale, shortest,
    shared_keys: tl.constexpr, first: tl.constexpr, deduplicate: tl.constexpr, attend_self: tl.constexpr,
    dim: tl.constexpr, wide: tl.constexpr, keys: tl.constexpr, precision: tl.constexpr, exact: tl.constexpr,
    product: tl.constexpr,
):  # fmt: skip
    """One block of keys beside a tile of queries.

    Returns:
        other, here: the keys' tokens, and whether they exist. key_tile: `[keys, wide]`. inverse: of their lengths if
        they are `shared_keys`, else one. score: `[queries, keys]`, times `scale`. met: which pairs count.
    """
    place = start + tl.arange(0, keys)
    here = place < end
    other = tl.load(order + place, mask=here, other=0).to(tl.int64)
    key_tile = rows(key, other, key_step, here, dim, wide, product)
    score = tl.dot(query, tl.trans(key_tile), input_precision=precision, out_dtype=exact) * scale
    inverse = tl.zeros((keys,), exact) + 1.0
    if shared_keys:
        inverse = inverse_lengths(key_tile, shortest, exact)
        score *= inverse[None, :]
    met = pairs(
        low, size, place, token, other, self_key, self_only, seen, places, orderings, ordering, inside, here,
        first, deduplicate, attend_self,
    )  # fmt: skip
    return other, here, key_tile, inverse, score, met
