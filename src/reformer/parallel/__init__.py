"""Long rows divided between processes: each holds a part of the tokens, and of attention whole rows of some heads."""

from reformer.parallel.gradients import sum_gradients
from reformer.parallel.group import SequenceGroup
from reformer.parallel.parallelize import parallelize, whole_rows
from reformer.parallel.shard import OF_TOKENS, part_lengths, shard_sequence

__all__ = [
    "OF_TOKENS",
    "SequenceGroup",
    "parallelize",
    "part_lengths",
    "shard_sequence",
    "sum_gradients",
    "whole_rows",
]
