"""Layout of a slot, `bucket * BUCKET_STRIDE + rank`."""

BUCKET_STRIDE = 1 << 40
"""Distance between two buckets of a hash round, which no window may span."""

MAX_BUCKETS = 1 << 20
"""Buckets of a round, at most. Absent keys are sorted as if they were in the bucket of this number, behind all."""
