"""Slot functions of the orderings: argument checks and the choice of a backend (`docs/math.md`, 1 to 4)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from reformer.ops import gpu, native
from reformer.ops.orderings import cpu as hashing
from reformer.ops.orderings import triton as gpu_hashing
from reformer.ops.orderings.eager import _first_of_run, _keys_in_bucket
from reformer.ops.orderings.layout import BUCKET_STRIDE, MOST_BUCKETS
from reformer.ops.orderings.rotations import Rotations, bucket_count


def position_slots(mask: Bool[Tensor, "batch length"]) -> Int[Tensor, "batch 1 1 length"]:
    """The slots of the position ordering: the index of each token among the real ones.

    Padding gets -1, "absent", wherever it stands, so neither it nor the side it is on can be noticed.

    Args:
        mask: True for a real token.

    Returns:
        One ordering, to be broadcast over heads or concatenated with hash rounds along dimension 2.

    Example:
        >>> position_slots(torch.tensor([[False, True, True, False]])).tolist()
        [[[[-1, 0, 1, -1]]]]
    """
    index = mask.cumsum(-1) - 1
    return index.masked_fill(~mask, -1)[:, None, None]


def hash_buckets(
    vectors: Float[Tensor, "batch heads length head_dim"], rotations: Rotations
) -> Int[Tensor, "batch heads rounds length"]:
    """The bucket of every vector in every round: `argmax([xR ; -xR])`, the factors combined like digits.

    Works in float32 whatever the input, under autocast too, because rounding moves vectors between buckets.
    Neither the length of a vector nor its place matters. Source: Kitaev et al. 2020, section 2.

    Returns:
        int64; `[..., r, i]` is the bucket of token `i` in round `r`.

    Raises:
        ValueError: rotations for another number of heads or another head_dim.
    """
    _check_rotations(vectors, rotations)
    if gpu.serves(vectors):
        return gpu_hashing.hash_buckets(vectors.detach(), [rotation.detach() for rotation in rotations])
    if all(native.refusal(tensor) is None for tensor in (vectors, *rotations)):
        return hashing.hash_buckets(vectors.detach(), [rotation.detach() for rotation in rotations])
    with torch.no_grad(), torch.autocast(vectors.device.type, enabled=False):
        vectors = vectors.detach().float()
        buckets = torch.zeros((), dtype=torch.int64, device=vectors.device)
        for rotation in rotations:
            projected = torch.einsum("bhld,hrdf->bhrlf", vectors, rotation.to(vectors.device).float())
            direction = projected.abs().argmax(-1)
            opposite = projected.gather(-1, direction[..., None])[..., 0] < 0
            half = rotation.shape[-1]
            buckets = buckets * (2 * half) + direction + half * opposite
    return buckets


def _check_rotations(vectors: Tensor, rotations: Rotations) -> None:
    if vectors.dim() != 4 or not rotations:
        raise ValueError(
            f"vectors {tuple(vectors.shape)} and {len(rotations)} rotations: expected [batch, heads, length, "
            "head_dim] and at least one rotation"
        )
    expected = (vectors.shape[1], rotations[0].shape[1], vectors.shape[3])
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
    most_buckets: int = MOST_BUCKETS,
) -> Int[Tensor, "batch heads rounds length"]:
    """The slot of every key: `bucket * stride + rank`, rank = how many earlier real keys are in its bucket.

    Args:
        buckets: from `hash_buckets`; any integer type.
        mask: True for a real token; the others get -1 and are not counted.
        most_buckets: every bucket is below this. Kernels count in a table of that size, so where the number is known
            it saves memory.

    Raises:
        ValueError: a mask of another batch or length, or (compiled kernel) a bucket outside 0 to `most_buckets` - 1.
            On a GPU, which is not waited for, such a token is absent.
    """
    _check_mask("mask", mask, buckets)
    if gpu.serves(buckets):
        return gpu_hashing.bucket_slots(buckets, mask, most_buckets, BUCKET_STRIDE)
    if native.refusal(buckets) is None:
        return hashing.bucket_slots(buckets, mask, most_buckets)
    buckets = buckets.long()
    if mask is not None:
        # Absent keys gather in a bucket of their own, behind all others, where their ranks disturb nobody.
        buckets = torch.where(mask[:, None, None], buckets, MOST_BUCKETS)
    in_order, order = buckets.sort(dim=-1, stable=True)
    place = torch.arange(buckets.shape[-1], device=buckets.device).expand_as(order)
    rank = place - _first_of_run(in_order, place)
    slots = torch.empty_like(order).scatter_(-1, order, in_order * BUCKET_STRIDE + rank)
    return slots if mask is None else slots.masked_fill(~mask[:, None, None], -1)


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
    most_buckets: int = MOST_BUCKETS,
) -> Int[Tensor, "batch heads rounds queries"]:
    """Where queries that are not keys stand among the keys; see `hash_query_slots`, and `bucket_slots`."""
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
    if gpu.serves(query_buckets):
        return gpu_hashing.bucket_query_slots(
            query_buckets, key_buckets, mask, query_mask, most_buckets, BUCKET_STRIDE, causal, aligned
        )
    if native.refusal(query_buckets) is None:
        return hashing.bucket_query_slots(query_buckets, key_buckets, mask, query_mask, most_buckets, causal, aligned)
    query_buckets, key_buckets = query_buckets.long(), key_buckets.long()
    if mask is None:
        mask = torch.ones(key_buckets.shape[0], key_buckets.shape[-1], dtype=torch.bool, device=key_buckets.device)
    if query_mask is None:
        query_mask = mask.new_ones(query_buckets.shape[0], query_buckets.shape[-1])
    before = _keys_in_bucket(query_buckets, key_buckets, mask, up_to_query=aligned)
    rank = before - 1 if aligned else before // 2
    absent = ~query_mask[:, None, None]
    if aligned and causal:
        absent = absent | (before == 0)
    slots = query_buckets * BUCKET_STRIDE + rank.clamp_min(0)
    return slots.masked_fill(absent, -1)


def hash_slots(
    keys: Float[Tensor, "batch heads length head_dim"],
    rotations: Rotations,
    mask: Bool[Tensor, "batch length"] | None = None,
) -> Int[Tensor, "batch heads rounds length"]:
    """The slots of the hash orderings, one ordering a round.

    Every bucket is a row of its own, far from the others; in it, keys stand in the order they came. A key's slot
    depends on earlier keys alone: neither the future, nor padding, nor the length of the call can change it.

    Args:
        keys: the vectors to be hashed (shared queries and keys: the queries).
        rotations: from `random_rotations`; the same rotations give the same slots.
        mask: True for a real token; the others are absent (-1).

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
    """Where queries that are not keys stand in the keys' rows.

    A query takes the slot of the last key at or before it in the query's own bucket. Where there is none it is
    absent if `causal`; otherwise it takes the bucket's first slot, from which it can see the keys that follow.

    Args:
        queries: the vectors to be placed.
        keys: the keys that own the slots.
        rotations: the ones the keys were hashed with.
        mask: True for a real key.
        causal: whether the attention that follows is causal.
        aligned: query `i` and key `i` are the same token. False for two different sequences, where "before" has
            no meaning: a query then stands in the middle of its bucket's row.
        query_mask: True for a real query; `mask` if aligned and not given.

    Raises:
        ValueError: aligned queries and keys of different lengths.
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
