"""Slot functions of the orderings: argument checks and the choice of a backend (`docs/math.md`, 1 to 4)."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from reformer.ops.orderings.layout import MAX_BUCKETS
from reformer.ops.orderings.rotations import Rotations, bucket_count
from reformer.ops.self_check import SelfCheck

_NAMES = ("triton", "cpu", "portable", "eager")

# Found here and not in a call: an import inside a traced call breaks the graph.
BACKENDS: dict[str, ModuleType] = {
    name: import_module(f"{__package__}.{name}") for name in _NAMES if find_spec(f"{__package__}.{name}")
}
"""Every backend's module by name, fastest first. A module has `hash_buckets`, `bucket_slots`, `bucket_query_slots` and
`serves(tensor, *others)`, whether it is chosen for these tensors. All but `eager` may be missing."""

SELF_CHECKS: list[SelfCheck] = [module.SELF_CHECK for module in BACKENDS.values() if hasattr(module, "SELF_CHECK")]


def _backend(*tensors: Shaped[Tensor, "..."]) -> ModuleType:
    return next(module for module in BACKENDS.values() if module.serves(*tensors))


def position_slots(mask: Bool[Tensor, "batch length"]) -> Int[Tensor, "batch 1 1 length"]:
    """The slots of the position ordering: the index of each token among the real ones (equation 1).

    Padding gets -1, "absent", wherever it stands, so neither padding nor its side changes the slot of a real token.

    Args:
        mask: True for a real token.

    Returns:
        int64, one ordering, to be broadcast over heads or concatenated with hash rounds along dimension 2.

    Example:
        >>> position_slots(torch.tensor([[False, True, True, False]])).tolist()
        [[[[-1, 0, 1, -1]]]]
    """
    if mask.dim() != 2 or mask.dtype != torch.bool:
        raise ValueError(f"mask is {mask.dtype} {tuple(mask.shape)}, expected torch.bool [batch, length]")
    index = mask.cumsum(-1) - 1
    return index.masked_fill(~mask, -1)[:, None, None]


def hash_buckets(
    vectors: Float[Tensor, "batch heads length head_dim"], rotations: Rotations
) -> Int[Tensor, "batch heads rounds length"]:
    """The bucket of every vector in every round: `argmax([xR ; -xR])`, the factors combined like digits (equation 2).

    Computed in float32 whatever the input, under autocast too, because rounding moves vectors between buckets. The
    bucket depends on the direction of a vector alone, and on no other vector. There is no gradient.

    Args:
        vectors: any floating dtype.
        rotations: from `random_rotations`, one for each factor.

    Returns:
        int64; `[..., r, i]` is the bucket of token `i` in round `r`.

    Raises:
        ValueError: rotations for another number of heads or another head_dim.

    Source: Kitaev, Kaiser, Levskaya 2020 (arXiv 2001.04451), section 2.

    Example:
        >>> rotations = (torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]]),)
        >>> hash_buckets(torch.tensor([[[[2.0, 1.0], [0.0, -1.0]]]]), rotations).tolist()
        [[[[0, 3]]]]
    """
    _check_rotations(vectors, rotations)
    rotations = tuple(rotation.detach() for rotation in rotations)
    return _backend(vectors, *rotations).hash_buckets(vectors.detach(), list(rotations))


def _check_rotations(vectors: Tensor, rotations: Rotations) -> None:
    if vectors.dim() != 4 or not rotations:
        raise ValueError(
            f"vectors {tuple(vectors.shape)} and {len(rotations)} rotations: expected [batch, heads, length, "
            "head_dim] and at least one rotation"
        )
    if not all(each.is_floating_point() for each in (vectors, *rotations)):
        raise TypeError(f"vectors {vectors.dtype}, rotations {rotations[0].dtype}: expected floating dtypes")
    expected = (vectors.shape[1], rotations[0].shape[1] if rotations[0].dim() > 1 else 0, vectors.shape[3])
    for rotation in rotations:
        if rotation.dim() != 4 or rotation.shape[:3] != expected:
            raise ValueError(
                f"a rotation has shape {tuple(rotation.shape)}, expected [heads, rounds, head_dim, factor / 2] = "
                f"[{', '.join(map(str, expected))}, ...] for vectors {tuple(vectors.shape)}"
            )


def bucket_slots(
    buckets: Int[Tensor, "batch heads rounds length"],
    mask: Bool[Tensor, "batch length"] | None = None,
    *,
    most_buckets: int = MAX_BUCKETS,
) -> Int[Tensor, "batch heads rounds length"]:
    """The slot of every key: `bucket * BUCKET_STRIDE + rank`, the rank being the number of earlier real keys in its
    bucket (equation 4).

    Args:
        buckets: from `hash_buckets`; any integer type.
        mask: True for a real token; the others get -1 and are not counted.
        most_buckets: a bound above every bucket. Kernels count in a table of this size, so the number of buckets, where
            it is known, saves memory.

    Returns:
        int64; -1 for an absent token.

    Raises:
        ValueError: a mask of another batch or length, or (compiled kernel) a bucket outside 0 to `most_buckets` - 1.
            On a GPU, for which the host does not wait, such a token is absent.

    Example:
        >>> bucket_slots(torch.tensor([[[[1, 0, 1]]]])).remainder(BUCKET_STRIDE).tolist()
        [[[[0, 0, 1]]]]
    """
    _check_buckets("buckets", buckets, most_buckets)
    _check_mask("mask", mask, buckets)
    return _backend(buckets).bucket_slots(buckets, mask, most_buckets)


def _check_buckets(name: str, buckets: Tensor, most_buckets: int) -> None:
    if buckets.dim() != 4:
        raise ValueError(f"{name} has shape {tuple(buckets.shape)}, expected [batch, heads, rounds, length]")
    if buckets.is_floating_point() or buckets.is_complex() or buckets.dtype == torch.bool:
        raise TypeError(f"{name} is {buckets.dtype}, expected integers")
    if not 1 <= most_buckets <= MAX_BUCKETS:
        raise ValueError(f"most_buckets={most_buckets}: expected 1 to {MAX_BUCKETS}")


def _check_mask(name: str, mask: Tensor | None, buckets: Tensor) -> None:
    expected = (buckets.shape[0], buckets.shape[-1])
    if mask is not None and (mask.shape != expected or mask.dtype != torch.bool):
        raise ValueError(f"{name} is {mask.dtype} {tuple(mask.shape)}, expected torch.bool {expected}")


def bucket_query_slots(
    query_buckets: Int[Tensor, "batch heads rounds queries"],
    key_buckets: Int[Tensor, "batch heads rounds length"],
    mask: Bool[Tensor, "batch length"] | None = None,
    *,
    causal: bool = False,
    aligned: bool = True,
    query_mask: Bool[Tensor, "batch queries"] | None = None,
    most_buckets: int = MAX_BUCKETS,
) -> Int[Tensor, "batch heads rounds queries"]:
    """The slots of queries that are not keys, among the keys of their buckets; see `hash_query_slots`.

    Args:
        query_buckets, key_buckets: from `hash_buckets`; any integer type.
        most_buckets: see `bucket_slots`. The other arguments are those of `hash_query_slots`.

    Raises:
        ValueError: buckets or masks that do not fit together, or that `bucket_slots` refuses.

    Example:
        >>> bucket_query_slots(torch.tensor([[[[0, 0]]]]), torch.tensor([[[[0, 0]]]]), causal=True).tolist()
        [[[[0, 1]]]]
    """
    _check_buckets("query_buckets", query_buckets, most_buckets)
    _check_buckets("key_buckets", key_buckets, most_buckets)
    if query_buckets.shape[:-1] != key_buckets.shape[:-1]:
        raise ValueError(
            f"query_buckets {tuple(query_buckets.shape)} and key_buckets {tuple(key_buckets.shape)} must agree in "
            "batch, heads and rounds"
        )
    if aligned and query_buckets.shape[-1] != key_buckets.shape[-1]:
        raise ValueError(
            f"{query_buckets.shape[-1]} queries and {key_buckets.shape[-1]} keys: aligned queries and keys "
            "are one sequence and need one length; pass aligned=False for two sequences"
        )
    if query_mask is None and aligned:
        query_mask = mask
    _check_mask("mask", mask, key_buckets)
    _check_mask("query_mask", query_mask, query_buckets)
    return _backend(query_buckets).bucket_query_slots(
        query_buckets, key_buckets, mask, query_mask, most_buckets, causal, aligned
    )


def hash_slots(
    keys: Float[Tensor, "batch heads length head_dim"],
    rotations: Rotations,
    mask: Bool[Tensor, "batch length"] | None = None,
) -> Int[Tensor, "batch heads rounds length"]:
    """The slots of the hash orderings, one ordering a round: `bucket_slots` of `hash_buckets`.

    Buckets lie further apart than any window reaches, and keys of one bucket keep the order of the sequence. A key's
    slot depends on that key and earlier ones: later tokens, padding and the length of the call do not change it.

    Args:
        keys: the vectors to be hashed (shared queries and keys: the queries).
        rotations: from `random_rotations`; the same rotations give the same slots.
        mask: True for a real token; the others are absent (-1).

    Raises:
        ValueError: rotations or a mask that do not fit the keys.

    Source: Kitaev, Kaiser, Levskaya 2020 (arXiv 2001.04451), section 2.

    Example:
        >>> rotations = random_rotations(heads=1, rounds=2, head_dim=4, buckets=2)
        >>> hash_slots(torch.ones(1, 1, 3, 4), rotations)[0, 0, 0].remainder(BUCKET_STRIDE).tolist()
        [0, 1, 2]
    """
    return bucket_slots(hash_buckets(keys, rotations), mask, most_buckets=bucket_count(rotations))


def hash_query_slots(
    queries: Float[Tensor, "batch heads queries head_dim"],
    keys: Float[Tensor, "batch heads length head_dim"],
    rotations: Rotations,
    mask: Bool[Tensor, "batch length"] | None = None,
    *,
    causal: bool = False,
    aligned: bool = True,
    query_mask: Bool[Tensor, "batch queries"] | None = None,
) -> Int[Tensor, "batch heads rounds queries"]:
    """The slots of queries that are not keys, among the keys of their buckets (equation 4).

    A query takes the slot of the last key in its bucket that is at or before it. If there is no such key, the query is
    absent if `causal`, and otherwise takes the bucket's first slot, from which it sees the keys that follow.

    Args:
        queries: the vectors whose slots are returned.
        keys: the vectors that `hash_slots` orders.
        rotations: those that the keys are hashed with.
        mask: True for a real key.
        causal: whether the attention over these slots is causal.
        aligned: query `i` and key `i` are the same token. False for two different sequences, where "before" has
            no meaning: a query then takes the middle of its bucket's row.
        query_mask: True for a real query; if None, `mask` for aligned sequences, and all queries otherwise.

    Returns:
        int64; -1 for an absent query.

    Raises:
        ValueError: aligned queries and keys of different lengths, or arguments that `hash_slots` refuses.

    Example:
        >>> rotations, x = random_rotations(heads=1, rounds=2, head_dim=4, buckets=2), torch.randn(1, 1, 3, 4)
        >>> torch.equal(hash_query_slots(x, x, rotations), hash_slots(x, rotations))
        True
    """
    return bucket_query_slots(
        hash_buckets(queries, rotations),
        hash_buckets(keys, rotations),
        mask,
        causal=causal,
        aligned=aligned,
        query_mask=query_mask,
        most_buckets=bucket_count(rotations),
    )
