"""Comparison of a backend's buckets and slots with `eager.py`, on a small problem."""

from collections.abc import Callable

import torch

from reformer.ops.orderings import eager
from reformer.ops.orderings.rotations import random_rotations

LENGTH, HEADS, HEAD_DIM, BUCKETS = 200, 2, 64, 8


def discrepancy(
    hash_buckets: Callable[..., torch.Tensor],
    bucket_slots: Callable[..., torch.Tensor],
    device: torch.device,
    length: int = LENGTH,
) -> str | None:
    """The difference of a backend's functions, called on `device`, from `eager`'s on the CPU; None if there is none."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(1, HEADS, length, HEAD_DIM, generator=generator)
    rotations = random_rotations(HEADS, 1, HEAD_DIM, BUCKETS, generator)
    buckets = eager.hash_buckets(vectors, rotations)
    hashed = hash_buckets(vectors.to(device), [rotation.to(device) for rotation in rotations]).cpu()
    different = int((hashed != buckets).sum())
    # Rounding alone puts a vector on the other side of a bucket's boundary now and then.
    if different > max(1, buckets.numel() // 100):
        return f"{different} of {buckets.numel()} tokens are in another bucket"
    slots = eager.bucket_slots(buckets, None, BUCKETS)
    different = int((bucket_slots(buckets.to(device), None, BUCKETS).cpu() != slots).sum())
    return f"{different} of {slots.numel()} tokens have another slot" if different else None
