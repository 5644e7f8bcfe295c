"""Hashing and slots by the compiled kernels, as operators that can be traced."""

import ctypes

import torch
from torch import Tensor

from reformer.ops import native


@torch.library.custom_op("reformer::hash_buckets_cpu", mutates_args=())
def hash_buckets(vectors: Tensor, rotations: list[Tensor]) -> Tensor:
    """`orderings.hash_buckets` in one pass."""
    batch, heads, length, dim = vectors.shape
    rounds = rotations[0].shape[1]
    vectors = native.rows(vectors)
    rotations = [rotation.float().contiguous() for rotation in rotations]
    buckets = torch.empty(batch, heads, rounds, length, dtype=torch.int64)
    native.call(
        "reformer_hash_buckets",
        native.HashCall(
            batch=batch,
            heads=heads,
            length=length,
            dim=dim,
            rounds=rounds,
            factors=len(rotations),
            dtype=native.DTYPES[vectors.dtype],
            threads=torch.get_num_threads(),
            vectors=vectors.data_ptr(),
            batch_step=vectors.stride(0),
            head_step=vectors.stride(1),
            token_step=vectors.stride(2),
            rotations=(ctypes.c_void_p * len(rotations))(*(rotation.data_ptr() for rotation in rotations)),
            halves=native.integers([rotation.shape[-1] for rotation in rotations]),
            buckets=buckets.data_ptr(),
        ),
    )
    return buckets


@hash_buckets.register_fake
def _(vectors: Tensor, rotations: list[Tensor]) -> Tensor:
    batch, heads, length, _ = vectors.shape
    return vectors.new_empty(batch, heads, rotations[0].shape[1], length, dtype=torch.int64)


def _slots(
    keys: Tensor,
    queries: Tensor | None,
    key_mask: Tensor | None,
    query_mask: Tensor | None,
    most_buckets: int,
    causal: bool,
    aligned: bool,
) -> Tensor:
    keys = keys.long().contiguous()
    queries = None if queries is None else queries.long().contiguous()
    key_mask = None if key_mask is None else key_mask.contiguous()
    query_mask = None if query_mask is None else query_mask.contiguous()
    slots = torch.empty_like(keys if queries is None else queries)
    batch, heads, rounds, length = keys.shape
    native.call(
        "reformer_bucket_slots",
        native.SlotCall(
            batch=batch,
            rows=heads * rounds,
            queries=0 if queries is None else queries.shape[-1],
            keys=length,
            most_buckets=most_buckets,
            aligned=aligned,
            causal=causal,
            threads=torch.get_num_threads(),
            # An empty tensor has no address, and no address means that the keys are asked for.
            query_buckets=None if queries is None else queries.data_ptr() or slots.data_ptr() or 1,
            key_buckets=keys.data_ptr(),
            query_mask=None if query_mask is None else query_mask.data_ptr(),
            key_mask=None if key_mask is None else key_mask.data_ptr(),
            slots=slots.data_ptr(),
        ),
    )
    return slots


@torch.library.custom_op("reformer::bucket_slots_cpu", mutates_args=())
def bucket_slots(buckets: Tensor, mask: Tensor | None, most_buckets: int) -> Tensor:
    """`orderings.bucket_slots` by counting."""
    return _slots(buckets, None, mask, None, most_buckets, causal=False, aligned=False)


@bucket_slots.register_fake
def _(buckets: Tensor, mask: Tensor | None, most_buckets: int) -> Tensor:
    return buckets.new_empty(buckets.shape, dtype=torch.int64)


@torch.library.custom_op("reformer::bucket_query_slots_cpu", mutates_args=())
def bucket_query_slots(
    queries: Tensor,
    keys: Tensor,
    mask: Tensor | None,
    query_mask: Tensor | None,
    most_buckets: int,
    causal: bool,
    aligned: bool,
) -> Tensor:
    """`orderings.bucket_query_slots` by counting."""
    return _slots(keys, queries, mask, query_mask, most_buckets, causal, aligned)


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
