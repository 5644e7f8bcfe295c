"""Hash rotations of another number of rounds than were drawn, which follow from those that were."""

import torch
from torch import Tensor

from reformer.ops.orderings import Rotations

SEED_BITS = 62
"""So many signs of a rotation are the seed of its further rounds."""


def rotations_of_rounds(rotations: Rotations, rounds: int) -> Rotations:
    """Rotations of `rounds` rounds: the first of those given, and if they are fewer, further ones.

    Further rounds are Gaussian too, and depend on the given rotations alone: drawn from a generator of their own,
    whose seed is the signs of each rotation's first numbers, one round after the other. So they are the same on every
    device and in every dtype, and the fifth round is the same whether five are asked for or eight.

    Args:
        rotations: from `random_rotations`.
        rounds: how many are wanted, at least 1.

    Example:
        >>> kept = random_rotations(heads=2, rounds=2, head_dim=8, buckets=[4, 6])
        >>> [tuple(each.shape) for each in rotations_of_rounds(kept, 5)]
        [(2, 5, 8, 2), (2, 5, 8, 3)]
    """
    kept = rotations[0].shape[1]
    if rounds <= kept:
        return tuple(rotation[:, :rounds] for rotation in rotations)
    return tuple(torch.cat((rotation, _further(rotation, rounds - kept)), 1) for rotation in rotations)


# An operator, because what is compiled or traced cannot hold a generator.
@torch.library.custom_op("reformer::further_rotations", mutates_args=())
def _further(rotation: Tensor, rounds: int) -> Tensor:
    negative = (rotation.flatten()[:SEED_BITS] < 0).tolist()
    generator = torch.Generator().manual_seed(sum(1 << bit for bit, is_set in enumerate(negative) if is_set))
    heads, _, head_dim, half = rotation.shape
    drawn = [torch.randn(heads, head_dim, half, generator=generator) for _ in range(rounds)]
    return torch.stack(drawn, 1).to(rotation)


@_further.register_fake
def _(rotation: Tensor, rounds: int) -> Tensor:
    heads, _, head_dim, half = rotation.shape
    return rotation.new_empty(heads, rounds, head_dim, half)
