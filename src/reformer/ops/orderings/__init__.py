"""Orderings: the position of every token in a row, as one integer slot (`docs/math.md`, 1 to 4)."""

from reformer.ops.orderings.layout import BUCKET_STRIDE, MAX_BUCKETS
from reformer.ops.orderings.rotations import (
    LARGEST_SINGLE_HASH,
    Rotations,
    bucket_count,
    bucket_factors,
    random_rotations,
    rotations_of_rounds,
)
from reformer.ops.orderings.slots import (
    bucket_query_slots,
    bucket_slots,
    hash_buckets,
    hash_query_slots,
    hash_slots,
    position_slots,
)

__all__ = [
    "BUCKET_STRIDE",
    "LARGEST_SINGLE_HASH",
    "MAX_BUCKETS",
    "Rotations",
    "bucket_count",
    "bucket_factors",
    "bucket_query_slots",
    "bucket_slots",
    "hash_buckets",
    "hash_query_slots",
    "hash_slots",
    "position_slots",
    "random_rotations",
    "rotations_of_rounds",
]
