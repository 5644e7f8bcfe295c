"""Layout of a slot: the bucket's stride and the most buckets of a round."""

BUCKET_STRIDE = 1 << 40
"""How far apart two buckets of one hash round stand: no window may reach across."""

MOST_BUCKETS = 1 << 20
"""More buckets than this a round are refused; absent keys sort behind all others at this number."""
