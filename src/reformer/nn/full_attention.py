"""Full attention by PyTorch: the baseline, and the better choice at short lengths."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from reformer.nn.past_inputs import front_order, pack, unpack


def full_attention(
    query: Float[Tensor, "batch heads length head_dim"],
    key: Float[Tensor, "batch key_heads length head_dim"],
    value: Float[Tensor, "batch key_heads length head_dim"],
    mask: Bool[Tensor, "batch length"] | None,
    causal: bool,
    scale: float | None = None,
) -> Float[Tensor, "batch heads length head_dim"]:
    """PyTorch's scaled dot-product attention over the real tokens; padding gives zeros. Neighbouring heads may share
    the keys and values of one head.

    Args:
        mask: True for a real token; None where all are.
        causal: see no later token.
        scale: what scores are multiplied by; `1 / sqrt(head_dim)` if not given.
    """
    if mask is None:
        return _attention(query, key, value, is_causal=causal, scale=scale)
    if not causal:
        # A softmax over no key at all is NaN: a sequence without any real token attends to its padding, masked below.
        seen = mask | ~mask.any(-1, keepdim=True)
        output = _attention(query, key, value, attn_mask=seen[:, None, None], scale=scale)
    else:
        # With the real tokens in front, "nothing later" hides the padding too, and no mask of length^2 is needed.
        order = front_order(mask)
        query, key, value = (pack(vectors, order) for vectors in (query, key, value))
        output = unpack(_attention(query, key, value, is_causal=True, scale=scale), order)
    return output.masked_fill(~mask[:, None, :, None], 0)


def continued_attention(
    query: Float[Tensor, "batch heads queries head_dim"],
    key: Float[Tensor, "batch key_heads length head_dim"],
    value: Float[Tensor, "batch key_heads length head_dim"],
    mask: Bool[Tensor, "batch length"],
    scale: float | None = None,
) -> Float[Tensor, "batch heads queries head_dim"]:
    """Causal attention of the last tokens of a sequence, the queries, over all of it; padding gives zeros.

    Args:
        mask: True for a real key. The last `queries` of them are the queries' own.
        scale: what scores are multiplied by; `1 / sqrt(head_dim)` if not given.
    """
    queries, length = query.shape[2], key.shape[2]
    before = torch.ones(queries, length, dtype=torch.bool, device=query.device).tril(length - queries)
    seen = mask[:, None, None] & before
    real = mask[:, None, length - queries :, None]
    output = _attention(query, key, value, attn_mask=seen | ~real, scale=scale)
    return output.masked_fill(~real, 0)


def cross_attention(
    query: Float[Tensor, "batch heads queries head_dim"],
    key: Float[Tensor, "batch heads length head_dim"],
    value: Float[Tensor, "batch heads length head_dim"],
    mask: Bool[Tensor, "batch length"] | None,
) -> Float[Tensor, "batch heads queries head_dim"]:
    """Attention of one sequence over another; zeros where that has no real token.

    Args:
        mask: True for a real key; None where all are.
    """
    if mask is None:
        return scaled_dot_product_attention(query, key, value)
    any_real = mask.any(-1)[:, None, None, None]
    output = scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None] | ~any_real)
    return output.masked_fill(~any_real, 0)


def _attention(query: Tensor, key: Tensor, value: Tensor, **mask: Any) -> Tensor:
    return scaled_dot_product_attention(query, key, value, enable_gqa=key.shape[1] != query.shape[1], **mask)
