"""Slots in standard operators of fixed shapes, for graphs that leave Python: sorts of distinct numbers, no running
maximum, no number that the host asks for."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from reformer.ops import standard
from reformer.ops.orderings import eager
from reformer.ops.orderings.layout import BUCKET_STRIDE, MAX_BUCKETS


def serves(tensor: Shaped[Tensor, "..."], *others: Shaped[Tensor, "..."]) -> bool:
    """Whether a graph is traced that no kernel serves."""
    return standard.is_traced()


def hash_buckets(
    vectors: Float[Tensor, "batch heads length head_dim"],
    rotations: Sequence[Float[Tensor, "heads rounds head_dim _"]],
) -> Int[Tensor, "batch heads rounds length"]:
    """See `slots.hash_buckets`."""
    return eager.hash_buckets(vectors, rotations)


def bucket_slots(
    buckets: Int[Tensor, "batch heads rounds length"], mask: Bool[Tensor, "batch length"] | None, most_buckets: int
) -> Int[Tensor, "batch heads rounds length"]:
    """See `slots.bucket_slots`; `most_buckets` is not used."""
    buckets = buckets.long()
    if mask is not None:
        buckets = torch.where(mask[:, None, None], buckets, MAX_BUCKETS)
    in_order, tokens, place = _sorted(buckets)
    slots = in_order * BUCKET_STRIDE + place - _first_of_run(in_order, place)
    slots = torch.zeros_like(slots).scatter(-1, tokens, slots)
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
    if mask is not None:
        keys = torch.where(mask[:, None, None], keys, MAX_BUCKETS)
    count = keys.shape[-1]
    # Key i goes just before query i; of two sequences all keys go first.
    both = torch.stack((keys, queries), -1).flatten(-2) if aligned else torch.cat((keys, queries), -1)
    in_order, tokens, place = _sorted(both)
    is_key = (tokens % 2 == 0 if aligned else tokens < count).long()
    upto = is_key.cumsum(-1)
    first = _first_of_run(in_order, place)
    before = upto - (upto - is_key).gather(-1, first)
    before = torch.zeros_like(before).scatter(-1, tokens, before)
    before = before.unflatten(-1, (-1, 2))[..., 1] if aligned else before[..., count:]
    rank = before - 1 if aligned else before // 2
    slots = queries * BUCKET_STRIDE + rank.clamp_min(0)
    if query_mask is not None:
        slots = slots.masked_fill(~query_mask[:, None, None], -1)
    return slots.masked_fill(before == 0, -1) if aligned and causal else slots


def _sorted(
    buckets: Int[Tensor, "*rows length"],
) -> tuple[Int[Tensor, "*rows length"], Int[Tensor, "*rows length"], Int[Tensor, "*rows length"]]:
    """The buckets in ascending order, those of equal ones in the sequence's; the token of each; and the places."""
    place = torch.arange(buckets.shape[-1], device=buckets.device).expand_as(buckets)
    numbers = (buckets * BUCKET_STRIDE + place).sort(-1).values
    return numbers // BUCKET_STRIDE, numbers % BUCKET_STRIDE, place


def _first_of_run(
    in_order: Int[Tensor, "*rows length"], place: Int[Tensor, "*rows length"]
) -> Int[Tensor, "*rows length"]:
    """For each entry of a sorted row, the place where its run of equal values begins."""
    begins = (in_order != in_order.gather(-1, (place - 1).clamp_min(0))) | (place == 0)
    run = begins.long().cumsum(-1) - 1
    # What begins no run is written behind all.
    firsts = torch.nn.functional.pad(torch.zeros_like(place), (0, 1))
    return firsts.scatter(-1, torch.where(begins, run, place.shape[-1]), place).gather(-1, run)
