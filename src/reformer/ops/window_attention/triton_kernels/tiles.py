"""What the kernels of both directions share: rows by their tokens, and which pairs of a tile are seen."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def rows(base, tokens, step, wanted, dim: tl.constexpr, wide: tl.constexpr, dtype: tl.constexpr):
    """`[tokens, wide]`, zero for tokens that are not wanted, which may hold anything."""
    column = tl.arange(0, wide)
    found = tl.load(
        base + tokens[:, None] * step + column[None, :], mask=wanted[:, None] & (column < dim)[None, :], other=0.0
    )
    return found.to(dtype)


@triton.jit
@no_type_check
def put(base, tokens, step, inside, what, dim: tl.constexpr, wide: tl.constexpr):
    """Store `[tokens, wide]` where `rows` would find it."""
    column = tl.arange(0, wide)
    tl.store(
        base + tokens[:, None] * step + column[None, :],
        what.to(base.dtype.element_ty),
        mask=inside[:, None] & (column < dim)[None, :],
    )


@triton.jit
@no_type_check
def stretch(seen, index, inside):
    """Where the stretch of places that a query sees begins, and its size, both int32; 0 outside."""
    both = tl.load(seen + index, mask=inside, other=0)
    return (both >> 32).to(tl.int32), (both & 0xFFFFFFFF).to(tl.int32)


@triton.jit
@no_type_check
def within(places, low, size):
    """`[queries, keys]`: whether a place is in a query's stretch."""
    return (places[None, :] - low[:, None]).to(tl.uint32) < size.to(tl.uint32)[:, None]


@triton.jit
@no_type_check
def inverse_lengths(vectors, shortest, exact: tl.constexpr):
    """One over each row's length, which counts as `shortest` at least."""
    vectors = vectors.to(exact)
    return 1.0 / tl.maximum(tl.sqrt(tl.sum(vectors * vectors, 1)), tl.zeros((1,), exact) + shortest)


@triton.jit
@no_type_check
def pairs(
    low, size, places, query, key, own, lonely, seen, key_places, orderings, ordering, inside, here,
    first: tl.constexpr, deduplicate: tl.constexpr, attend_self: tl.constexpr,
):  # fmt: skip
    """`[queries, keys]`: which pairs of a tile count in this ordering.

    Args:
        low, size: of the queries in this ordering; places: of the keys.
        query, key: the tokens, int64. own: the key that is the query itself. inside, here: which of them there are.
        lonely: the queries that see nothing but themselves, which is known in the backward pass alone.
        seen, key_places: of this batch item and head, all orderings. A pair belongs to the first that meets it.
    """
    met = within(places, low, size)
    itself = key[None, :] == own[:, None]
    if not attend_self:
        met &= (itself == 0) | lonely[:, None]
    if not first:
        if deduplicate or not attend_self:
            for earlier in range(ordering):
                their_low, their_size = stretch(seen, query * orderings + earlier, inside)
                place = tl.load(key_places + key * orderings + earlier, mask=here, other=-1)
                again = within(place, their_low, their_size)
                if not deduplicate:
                    # A token alone with itself sees itself once.
                    again &= itself
                met &= again == 0
    return met
