"""Hashing and slots in plain PyTorch: the definition that the other backends are held to."""

import torch
from torch import Tensor

from reformer.ops.orderings.layout import MOST_BUCKETS


def _first_of_run(in_order: Tensor, place: Tensor) -> Tensor:
    """For each entry of a sorted row, the place where its run of equal values begins."""
    begins = torch.ones_like(in_order, dtype=torch.bool)
    begins[..., 1:] = in_order[..., 1:] != in_order[..., :-1]
    return torch.where(begins, place, 0).cummax(-1).values


def _keys_in_bucket(query_buckets: Tensor, key_buckets: Tensor, mask: Tensor, *, up_to_query: bool) -> Tensor:
    """How many real keys each query's bucket holds: those at or before the query, or all of them."""
    queries, keys = query_buckets.shape[-1], key_buckets.shape[-1]
    key_buckets = torch.where(mask[:, None, None], key_buckets, MOST_BUCKETS)
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
