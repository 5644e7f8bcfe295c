"""Tensors in, tensors out: the orderings and the one attention over them."""

from reformer.ops.orderings import (
    bucket_query_slots,
    bucket_slots,
    hash_buckets,
    hash_query_slots,
    hash_slots,
    position_slots,
    random_rotations,
)
from reformer.ops.window_attention import window_attention

__all__ = [
    "bucket_query_slots",
    "bucket_slots",
    "hash_buckets",
    "hash_query_slots",
    "hash_slots",
    "position_slots",
    "random_rotations",
    "window_attention",
]
