"""Rotations of the hash: drawn at random, with a factor for each digit of a bucket, and extended to more rounds."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from reformer.ops.orderings.layout import MAX_BUCKETS

LARGEST_SINGLE_HASH = 64
"""Buckets of one rotation, at most, if the factors are not given: a larger rotation costs more than attention."""

Rotations = tuple[Float[Tensor, "_ _ _ _"], ...]
"""One Gaussian rotation a factor, each `[heads, rounds, head_dim, factor / 2]`; without names here, because a signature
may have rotations of several numbers of rounds."""


def bucket_factors(buckets: int | Sequence[int]) -> tuple[int, ...]:
    """The even factors of a number of buckets, one rotation each; a sequence is checked and returned as it is.

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
    if math.prod(factors) > MAX_BUCKETS:
        raise ValueError(f"buckets={buckets}: {math.prod(factors)} buckets a round, expected at most {MAX_BUCKETS}")
    return factors


def _split(number: int) -> tuple[int, ...]:
    if number < 2 or number % 2:
        raise ValueError(f"buckets={number}: expected an even number of at least 2")
    if number <= LARGEST_SINGLE_HASH:
        return (number,)
    for count in range(2, number.bit_length() + 1):
        factorizations = _even_factors(number, count)
        if factorizations:
            return min(factorizations, key=max)
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
        heads: number of heads, which hash independently.
        rounds: number of hash rounds.
        head_dim: size of the vectors to be hashed.
        buckets: a number, or its even factors; see `bucket_factors`.
        generator: of the random numbers; the global one if None.
        device: of the rotations; the default one if None.

    Raises:
        ValueError: buckets that `bucket_factors` refuses.

    Source: Kitaev, Kaiser, Levskaya 2020 (arXiv 2001.04451), section 2.

    Example:
        >>> [tuple(rotation.shape) for rotation in random_rotations(heads=2, rounds=3, head_dim=8, buckets=[4, 6])]
        [(2, 3, 8, 2), (2, 3, 8, 3)]
    """
    # `torch.randn` with a generator argument, even None, cannot be traced with a dynamic number of rounds.
    return tuple(
        torch.empty(heads, rounds, head_dim, factor // 2, device=device).normal_(generator=generator)
        for factor in bucket_factors(buckets)
    )


def bucket_count(rotations: Rotations) -> int:
    """The number of buckets of one round of these rotations."""
    return math.prod([2 * rotation.shape[-1] for rotation in rotations])


SEED_BITS = 62
"""Bits of the seed of further rounds: the signs of a rotation's first numbers."""


def rotations_of_rounds(rotations: Rotations, rounds: int) -> Rotations:
    """The first `rounds` rounds of the rotations, extended by further Gaussian rounds if there are fewer (equation 3).

    Further rounds depend on the rotations alone: a separate generator, seeded by the signs of each rotation's first
    numbers, draws one round after the other. So they are the same on every device and in every dtype, and the fifth
    round is the same in a call for five rounds and in a call for eight.

    Args:
        rotations: from `random_rotations`.
        rounds: at least 1.

    Example:
        >>> kept = random_rotations(heads=2, rounds=2, head_dim=8, buckets=[4, 6])
        >>> [tuple(each.shape) for each in rotations_of_rounds(kept, 5)]
        [(2, 5, 8, 2), (2, 5, 8, 3)]
    """
    kept = rotations[0].shape[1]
    if rounds <= kept:
        return tuple(rotation[:, :rounds] for rotation in rotations)
    return tuple(torch.cat((rotation, _further(rotation, rounds - kept)), 1) for rotation in rotations)


# An operator, because a generator breaks the graph of a traced call.
@torch.library.custom_op(
    "reformer::further_rotations", mutates_args=(), schema="(Tensor rotation, SymInt rounds) -> Tensor"
)
def _further(
    rotation: Float[Tensor, "heads rounds head_dim half"], rounds: int
) -> Float[Tensor, "heads further head_dim half"]:
    negative = (rotation.flatten()[:SEED_BITS] < 0).tolist()
    generator = torch.Generator().manual_seed(sum(1 << bit for bit, is_set in enumerate(negative) if is_set))
    heads, _, head_dim, half = rotation.shape
    drawn = [torch.randn(heads, head_dim, half, generator=generator, device="cpu") for _ in range(rounds)]
    return torch.stack(drawn, 1).to(rotation)


@_further.register_fake
def _(rotation: Tensor, rounds: int) -> Tensor:
    heads, _, head_dim, half = rotation.shape
    return rotation.new_empty(heads, rounds, head_dim, half)
