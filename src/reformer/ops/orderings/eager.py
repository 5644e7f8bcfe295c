"""Hashing and slots in plain PyTorch: the definition that the other backends are held to."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from reformer.ops.autocast import without_autocast
from reformer.ops.orderings.layout import BUCKET_STRIDE, MAX_BUCKETS


def serves(tensor: Shaped[Tensor, "..."], *others: Shaped[Tensor, "..."]) -> bool:
    """True: PyTorch takes any tensor."""
    return True


@torch.no_grad()
def hash_buckets(
    vectors: Float[Tensor, "batch heads length head_dim"],
    rotations: Sequence[Float[Tensor, "heads rounds head_dim _"]],
) -> Int[Tensor, "batch heads rounds length"]:
    """See `slots.hash_buckets`: `argmax([xR ; -xR])` of each factor, combined like digits (equation 2)."""
    with without_autocast(vectors.device.type):
        vectors = vectors.float()
        buckets = torch.zeros((), dtype=torch.int64, device=vectors.device)
        for rotation in rotations:
            projected = torch.einsum("bhld,hrdf->bhrlf", vectors, rotation.to(vectors.device).float())
            direction = projected.abs().argmax(-1)
            opposite = projected.gather(-1, direction[..., None])[..., 0] < 0
            half = rotation.shape[-1]
            buckets = buckets * (2 * half) + direction + half * opposite
    return buckets


def bucket_slots(
    buckets: Int[Tensor, "batch heads rounds length"], mask: Bool[Tensor, "batch length"] | None, most_buckets: int
) -> Int[Tensor, "batch heads rounds length"]:
    """See `slots.bucket_slots`; a stable sort takes any number of buckets, so `most_buckets` is not used."""
    buckets = buckets.long()
    if mask is not None:
        # In a bucket of their own, absent keys raise the rank of no other key.
        buckets = torch.where(mask[:, None, None], buckets, MAX_BUCKETS)
    in_order, order = buckets.sort(dim=-1, stable=True)
    place = torch.arange(buckets.shape[-1], device=buckets.device).expand_as(order)
    rank = place - _first_of_run(in_order, place)
    slots = torch.empty_like(order).scatter_(-1, order, in_order * BUCKET_STRIDE + rank)
    return slots if mask is None else slots.masked_fill(~mask[:, None, None], -1)


def bucket_query_slots(
    queries: Int[Tensor, "batch heads rounds queries"],
    keys: Int[Tensor, "batch heads rounds length"],
    mask: Bool[Tensor, "batch length"] | None,
    query_mask: Bool[Tensor, "batch queries"] | None,
    most_buckets: int,
    causal: bool,
    aligned: bool,
) -> Int[Tensor, "batch heads rounds queries"]:
    """See `slots.bucket_query_slots`; `most_buckets` is not used."""
    queries, keys = queries.long(), keys.long()
    if mask is None:
        mask = torch.ones(keys.shape[0], keys.shape[-1], dtype=torch.bool, device=keys.device)
    if query_mask is None:
        query_mask = mask.new_ones(queries.shape[0], queries.shape[-1])
    before = _keys_in_bucket(queries, keys, mask, up_to_query=aligned)
    rank = before - 1 if aligned else before // 2
    absent = ~query_mask[:, None, None]
    if aligned and causal:
        absent = absent | (before == 0)
    slots = queries * BUCKET_STRIDE + rank.clamp_min(0)
    return slots.masked_fill(absent, -1)


def _first_of_run(
    in_order: Int[Tensor, "*rows length"], place: Int[Tensor, "*rows length"]
) -> Int[Tensor, "*rows length"]:
    """For each entry of a sorted row, the place where its run of equal values begins."""
    begins = torch.ones_like(in_order, dtype=torch.bool)
    begins[..., 1:] = in_order[..., 1:] != in_order[..., :-1]
    return torch.where(begins, place, 0).cummax(-1).values


def _keys_in_bucket(
    query_buckets: Int[Tensor, "batch heads rounds queries"],
    key_buckets: Int[Tensor, "batch heads rounds length"],
    mask: Bool[Tensor, "batch length"],
    *,
    up_to_query: bool,
) -> Int[Tensor, "batch heads rounds queries"]:
    """The number of present keys in each query's bucket: of those at or before the query, or of all."""
    queries, keys = query_buckets.shape[-1], key_buckets.shape[-1]
    key_buckets = torch.where(mask[:, None, None], key_buckets, MAX_BUCKETS)
    if up_to_query:
        # Key i goes just before query i, so that a stable sort leaves it there within their bucket.
        both = torch.stack((key_buckets, query_buckets), -1).flatten(-2)
        is_key = torch.arange(2 * keys, device=both.device) % 2 == 0
        query_places = slice(1, None, 2)
    else:
        both = torch.cat((key_buckets, query_buckets), -1)
        is_key = torch.arange(keys + queries, device=both.device) < keys
        query_places = slice(keys, None)
    in_order, order = both.sort(dim=-1, stable=True)
    place = torch.arange(both.shape[-1], device=both.device).expand_as(order)
    counted = is_key.expand_as(order).gather(-1, order)
    upto = counted.cumsum(-1)
    first = _first_of_run(in_order, place)
    before_run = upto.gather(-1, first) - counted.gather(-1, first).long()
    return torch.empty_like(order).scatter_(-1, order, upto - before_run)[..., query_places]
