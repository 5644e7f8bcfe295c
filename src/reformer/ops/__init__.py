"""Operations: functions of tensors, for orderings, window attention, convolutions and losses."""

from reformer.ops.backends import backend_status
from reformer.ops.linear_chain import (
    chain_log_partition,
    chain_probabilities,
    chain_score,
    chain_segment_log_probability,
)
from reformer.ops.linear_cross_entropy import linear_cross_entropy
from reformer.ops.orderings import (
    bucket_query_slots,
    bucket_slots,
    hash_buckets,
    hash_query_slots,
    hash_slots,
    position_slots,
    random_rotations,
)
from reformer.ops.orderings.rotations import rotations_of_rounds
from reformer.ops.unit_vectors import unit_vectors
from reformer.ops.window_attention import Polynomial, Sinh, shared_window_attention, window_attention

__all__ = [
    "Polynomial",
    "Sinh",
    "backend_status",
    "bucket_query_slots",
    "bucket_slots",
    "chain_log_partition",
    "chain_probabilities",
    "chain_score",
    "chain_segment_log_probability",
    "hash_buckets",
    "hash_query_slots",
    "hash_slots",
    "linear_cross_entropy",
    "position_slots",
    "random_rotations",
    "rotations_of_rounds",
    "shared_window_attention",
    "unit_vectors",
    "window_attention",
]
