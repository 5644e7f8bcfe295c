"""Rows and weights divided between processes: of rows each holds some tokens, and of attention whole rows of heads."""

from reformer.parallel.gradients import sum_gradients
from reformer.parallel.group import SequenceGroup
from reformer.parallel.parallelize import parallelize, whole_rows
from reformer.parallel.shard import OF_TOKENS, part_lengths, shard_sequence
from reformer.parallel.sharded_weights import shard_weights

__all__ = [
    "OF_TOKENS",
    "SequenceGroup",
    "parallelize",
    "part_lengths",
    "shard_sequence",
    "shard_weights",
    "sum_gradients",
    "whole_rows",
]
