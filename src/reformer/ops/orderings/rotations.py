"""Hash rotations: drawing them, factoring numbers of buckets, deriving further rounds."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from reformer.ops.orderings.layout import MOST_BUCKETS

LARGEST_SINGLE_HASH = 64
"""Above this many buckets a plain number is split into factors: one huge rotation costs more than attention."""

Rotations = tuple[Tensor, ...]
"""One Gaussian rotation a factor, each `[heads, rounds, head_dim, factor / 2]`."""


def bucket_factors(buckets: int | Sequence[int]) -> tuple[int, ...]:
    """The even factors that a number of buckets is hashed by: `factors` as given, or found for a number.

    A number of at most 64 is one hash. A larger one is split into even factors of at most 64 each, as few and
    as equal as possible.

    Raises:
        ValueError: a factor that is odd or below 2, or a number that cannot be split.

    Example:
        >>> bucket_factors(512), bucket_factors([32, 32, 16])
        ((32, 16), (32, 32, 16))
    """
    factors = _split(buckets) if isinstance(buckets, int) else tuple(buckets)
    for factor in factors:
        if factor < 2 or factor % 2:
            raise ValueError(
                f"buckets={list(factors)}: every factor must be even and at least 2, because a rotation gives "
                f"each direction and its opposite; {factor} is not"
            )
    if not factors:
        raise ValueError("buckets=[]: expected a number or at least one factor")
    if math.prod(factors) > MOST_BUCKETS:
        raise ValueError(f"buckets={buckets}: {math.prod(factors)} buckets a round, at most {MOST_BUCKETS} are kept")
    return factors


def _split(number: int) -> tuple[int, ...]:
    if number < 2 or number % 2:
        raise ValueError(f"buckets={number}: expected an even number of at least 2")
    if number <= LARGEST_SINGLE_HASH:
        return (number,)
    for count in range(2, number.bit_length() + 1):
        found = _even_factors(number, count)
        if found:
            return min(found, key=max)
    raise ValueError(
        f"buckets={number}: cannot be split into even factors of at most {LARGEST_SINGLE_HASH}; "
        f"give the factors, or a number such as {1 << (number.bit_length() - 1)}"
    )


def _even_factors(number: int, count: int, largest: int = LARGEST_SINGLE_HASH) -> list[tuple[int, ...]]:
    if count == 1:
        return [(number,)] if number <= largest and number % 2 == 0 else []
    return [
        (factor, *rest)
        for factor in range(largest - largest % 2, 1, -2)
        if number % factor == 0
        for rest in _even_factors(number // factor, count - 1, factor)
    ]


def random_rotations(
    heads: int,
    rounds: int,
    head_dim: int,
    buckets: int | Sequence[int],
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> Rotations:
    """Gaussian rotations for `hash_slots`, independent for every head and round, always float32.

    Args:
        heads: how many heads hash on their own.
        rounds: how many hash rounds.
        head_dim: the width of the vectors to be hashed.
        buckets: a number, or its even factors; see `bucket_factors`.
        generator: where the numbers come from; the global generator if not given.
        device: where to put them.
    """
    # Not `torch.randn`: with a generator argument, even None, it cannot be traced for a number of rounds that changes.
    return tuple(
        torch.empty(heads, rounds, head_dim, factor // 2, device=device).normal_(generator=generator)
        for factor in bucket_factors(buckets)
    )


def bucket_count(rotations: Rotations) -> int:
    """How many buckets a round of these rotations has."""
    return math.prod([2 * rotation.shape[-1] for rotation in rotations])


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
