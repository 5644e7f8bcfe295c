"""Hashing and slots by Triton's kernels, as operators that can be traced."""

# A kernel is launched by `kernel[grid](...)`.
# pyright: reportIndexIssue=false

from functools import partial

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from reformer.ops import gpu
from reformer.ops.orderings.self_check import discrepancy
from reformer.ops.orderings.triton_counting import Counts
from reformer.ops.self_check import SelfCheck
from reformer.ops.strides import contiguous_rows

BLOCK = 128
"""Tokens that are hashed at a time, at most."""


def serves(tensor: Shaped[Tensor, "..."], *others: Shaped[Tensor, "..."]) -> bool:
    """Whether the kernels take this tensor and are chosen by default; the others are moved to its device."""
    return SELF_CHECK.serves(tensor)


@torch.library.custom_op(
    "reformer::hash_buckets_triton", mutates_args=(), schema="(Tensor vectors, Tensor[] rotations) -> Tensor"
)
def hash_buckets(
    vectors: Float[Tensor, "batch heads length head_dim"], rotations: list[Float[Tensor, "heads rounds head_dim _"]]
) -> Int[Tensor, "batch heads rounds length"]:
    """See `slots.hash_buckets`; all heads and rounds in one launch a factor."""
    from reformer.ops.orderings.triton_kernels import hashing

    batch, heads, length, dim = vectors.shape
    rounds = rotations[0].shape[1]
    vectors = contiguous_rows(vectors)
    buckets = vectors.new_empty(batch, heads, rounds, length, dtype=torch.int64)
    wide = gpu.next_power_of_2(dim, 16)
    block = max(16, min(BLOCK, 8192 // wide))
    blocks = -(-length // block)
    for index, rotation in enumerate(rotations if buckets.numel() else ()):
        half = rotation.shape[-1]
        with gpu.device_guard(vectors):
            hashing.hash_factor[(batch * heads * blocks,)](
                vectors,
                rotation.to(vectors.device, torch.float32).contiguous(),
                buckets,
                length,
                heads,
                blocks,
                *vectors.stride()[:3],
                rounds=rounds,
                dim=dim,
                half=half,
                first=index == 0,
                block=block,
                wide_dim=wide,
                wide_half=gpu.next_power_of_2(half, 16),
                # With fewer digits than three products of tensor cores keep, vectors change their bucket.
                precision="tf32x3",
            )
    return buckets


@hash_buckets.register_fake
def _(vectors: Tensor, rotations: list[Tensor]) -> Tensor:
    batch, heads, length, _ = vectors.shape
    return vectors.new_empty(batch, heads, rotations[0].shape[1], length, dtype=torch.int64)


@torch.library.custom_op(
    "reformer::bucket_slots_triton",
    mutates_args=(),
    schema="(Tensor buckets, Tensor? mask, SymInt most_buckets) -> Tensor",
)
def bucket_slots(
    buckets: Int[Tensor, "batch heads rounds length"], mask: Bool[Tensor, "batch length"] | None, most_buckets: int
) -> Int[Tensor, "batch heads rounds length"]:
    """See `slots.bucket_slots`; by counting."""
    if buckets.numel() == 0:
        return torch.empty_like(buckets, dtype=torch.int64)
    buckets, mask = buckets.contiguous(), None if mask is None else mask.contiguous()
    return Counts(buckets, mask, most_buckets).slots(buckets, mask)


@bucket_slots.register_fake
def _(buckets: Tensor, mask: Tensor | None, most_buckets: int) -> Tensor:
    return buckets.new_empty(buckets.shape, dtype=torch.int64)


@torch.library.custom_op(
    "reformer::bucket_query_slots_triton",
    mutates_args=(),
    schema=(
        "(Tensor queries, Tensor keys, Tensor? mask, Tensor? query_mask, SymInt most_buckets, bool causal, "
        "bool aligned) -> Tensor"
    ),
)
def bucket_query_slots(
    queries: Int[Tensor, "batch heads rounds queries"],
    keys: Int[Tensor, "batch heads rounds length"],
    mask: Bool[Tensor, "batch length"] | None,
    query_mask: Bool[Tensor, "batch queries"] | None,
    most_buckets: int,
    causal: bool,
    aligned: bool,
) -> Int[Tensor, "batch heads rounds queries"]:
    """See `slots.bucket_query_slots`; by counting."""
    if queries.numel() == 0:
        return torch.empty_like(queries, dtype=torch.int64)
    queries, keys = queries.contiguous(), keys.contiguous()
    mask, query_mask = (None if each is None else each.contiguous() for each in (mask, query_mask))
    counts = Counts(keys, mask, most_buckets)
    if aligned:
        return counts.slots(keys, mask, queries, query_mask, causal)
    return counts.middle_slots(queries, query_mask)


@bucket_query_slots.register_fake
def _(
    queries: Tensor,
    keys: Tensor,
    mask: Tensor | None,
    query_mask: Tensor | None,
    most_buckets: int,
    causal: bool,
    aligned: bool,
) -> Tensor:
    return queries.new_empty(queries.shape, dtype=torch.int64)


SELF_CHECK = SelfCheck("hashing", partial(discrepancy, hash_buckets, bucket_slots))
