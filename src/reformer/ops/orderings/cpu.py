"""Hashing and slots by the compiled CPU kernels, as operators that can be traced."""

import ctypes

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from reformer.ops import native, standard
from reformer.ops.strides import contiguous_rows


def serves(tensor: Shaped[Tensor, "..."], *others: Shaped[Tensor, "..."]) -> bool:
    """Whether the kernels take all of these tensors, and standard operators are not wanted."""
    return not standard.is_wanted() and all(native.why_unsupported(each) is None for each in (tensor, *others))


@torch.library.custom_op(
    "reformer::hash_buckets_cpu", mutates_args=(), schema="(Tensor vectors, Tensor[] rotations) -> Tensor"
)
def hash_buckets(
    vectors: Float[Tensor, "batch heads length head_dim"], rotations: list[Float[Tensor, "heads rounds head_dim _"]]
) -> Int[Tensor, "batch heads rounds length"]:
    """See `slots.hash_buckets`; one pass over the vectors."""
    batch, heads, length, dim = vectors.shape
    rounds = rotations[0].shape[1]
    vectors = contiguous_rows(vectors)
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
    keys: Int[Tensor, "batch heads rounds length"],
    queries: Int[Tensor, "batch heads rounds queries"] | None,
    key_mask: Bool[Tensor, "batch length"] | None,
    query_mask: Bool[Tensor, "batch queries"] | None,
    most_buckets: int,
    causal: bool,
    aligned: bool,
) -> Int[Tensor, "batch heads rounds slots"]:
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
            # A null pointer stands for "slots of the keys", and that of an empty tensor is null too.
            query_buckets=None if queries is None else queries.data_ptr() or slots.data_ptr() or 1,
            key_buckets=keys.data_ptr(),
            query_mask=None if query_mask is None else query_mask.data_ptr(),
            key_mask=None if key_mask is None else key_mask.data_ptr(),
            slots=slots.data_ptr(),
        ),
    )
    return slots


@torch.library.custom_op(
    "reformer::bucket_slots_cpu",
    mutates_args=(),
    schema="(Tensor buckets, Tensor? mask, SymInt most_buckets) -> Tensor",
)
def bucket_slots(
    buckets: Int[Tensor, "batch heads rounds length"], mask: Bool[Tensor, "batch length"] | None, most_buckets: int
) -> Int[Tensor, "batch heads rounds length"]:
    """See `slots.bucket_slots`; by counting."""
    return _slots(buckets, None, mask, None, most_buckets, causal=False, aligned=False)


@bucket_slots.register_fake
def _(buckets: Tensor, mask: Tensor | None, most_buckets: int) -> Tensor:
    return buckets.new_empty(buckets.shape, dtype=torch.int64)


@torch.library.custom_op(
    "reformer::bucket_query_slots_cpu",
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
