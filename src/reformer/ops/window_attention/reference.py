"""The quadratic definition of window attention, which every fast backend must match (`docs/math.md`, 5 to 10)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from reformer.ops.window_attention.transforms import ScoreTransform


def times_seen(
    query_slots: Int[Tensor, "#batch #heads orderings queries"],
    key_slots: Int[Tensor, "#batch #heads orderings length"],
    windows: tuple[int, ...],
    causal: bool,
) -> tuple[Tensor, Tensor]:
    """In how many orderings query `i` may see key `j`, and whether they are one token.

    Returns:
        count, int64 `[batch, heads, queries, length]`, and itself, bool of that shape.
    """
    distance = query_slots[..., :, None] - key_slots[..., None, :]
    present = (query_slots >= 0)[..., :, None] & (key_slots >= 0)[..., None, :]
    window = torch.tensor(windows, device=distance.device)[:, None, None]
    near = (distance >= 0) if causal else (distance > -window)
    seen = present & near & (distance < window)
    return seen.sum(2), (present & (distance == 0)).any(2)


def reference(
    query: Float[Tensor, "batch heads queries head_dim"],
    key: Float[Tensor, "batch heads length head_dim"],
    value: Float[Tensor, "batch heads length head_dim"],
    query_slots: Int[Tensor, "#batch #heads orderings queries"],
    key_slots: Int[Tensor, "#batch #heads orderings length"],
    *,
    windows: tuple[int, ...],
    causal: bool,
    attend_self: bool,
    deduplicate: bool,
    scale: float,
    transform: ScoreTransform | None = None,
) -> Float[Tensor, "batch heads queries head_dim"]:
    """Softmax over the union of what each query may see, in the dtype of the inputs."""
    count, itself = times_seen(query_slots, key_slots, windows, causal)
    if not attend_self:
        others = count.masked_fill(itself, 0)
        sees_others = others.any(-1, keepdim=True)
        count = torch.where(sees_others, others, count)
    if deduplicate:
        count = count.clamp_max(1)
    # What is not seen may hold anything, NaN included, and must reach neither the output nor a gradient.
    any_query, any_key = (query_slots >= 0).any(2)[..., None], (key_slots >= 0).any(2)[..., None]
    query, key, value = query.where(any_query, 0), key.where(any_key, 0), value.where(any_key, 0)
    scores = scale * query @ key.transpose(-1, -2)
    if transform is not None:
        scores = scores.masked_fill(count == 0, 0)
        scores = transform.value(scores, transform.coefficients.to(scores.dtype)[:, None, None])
    scores = scores.masked_fill(count == 0, float("-inf"))
    largest = scores.detach().amax(-1, keepdim=True).clamp_min(torch.finfo(scores.dtype).min)
    weights = count * torch.exp(scores - largest)
    total = weights.sum(-1, keepdim=True)
    return weights / total.where(total > 0, 1) @ value
