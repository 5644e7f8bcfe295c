"""The quadratic definition of window attention, which every fast backend must match (`docs/math.md`, 5 to 10)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from reformer.ops.unit_vectors import unit_vectors
from reformer.ops.window_attention.transforms import ScoreTransform


def why_unsupported(
    query: Float[Tensor, "batch heads queries head_dim"], key: Float[Tensor, "batch heads length head_dim"]
) -> str | None:
    """None: the definition takes any call."""
    return None


def serves(query: Float[Tensor, "batch heads queries head_dim"]) -> bool:
    """True: the last choice."""
    return True


def times_seen(
    query_slots: Int[Tensor, "#batch #heads orderings queries"],
    key_slots: Int[Tensor, "#batch #heads orderings length"],
    windows: tuple[int, ...],
    causal: bool,
) -> tuple[Int[Tensor, "_ _ queries length"], Bool[Tensor, "_ _ queries length"]]:
    """The number of orderings in which query `i` is near to key `j`, and whether the two are one (equations 5 and 7).

    Returns:
        count, int64, and itself, `[batch, heads, queries, length]` as far as the slots of both broadcast.

    Example:
        >>> slots = torch.tensor([[[[0, 1, 2]]]])
        >>> times_seen(slots, slots, (2,), causal=True)[0].tolist()
        [[[[1, 0, 0], [1, 1, 0], [0, 1, 1]]]]
    """
    distance = query_slots[..., :, None] - key_slots[..., None, :]
    present = (query_slots >= 0)[..., :, None] & (key_slots >= 0)[..., None, :]
    window = torch.tensor(windows, device=distance.device)[:, None, None]
    near = (distance >= 0) if causal else (distance > -window)
    seen = present & near & (distance < window)
    number = torch.arange(1, 1 + len(windows), device=distance.device)[:, None, None]
    latest = (number * (present & (distance == 0))).amax(2)
    return seen.sum(2), (latest > 0) & (latest == latest.amax(-1, keepdim=True))


def attend(
    query: Float[Tensor, "batch heads queries head_dim"],
    key: Float[Tensor, "batch heads length head_dim"] | None,
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
    """Softmax over the union of the keys that each query sees, in the dtype of the inputs (equations 6 to 10).

    Arguments are those of `window_attention`, which checks them. Without a key, keys are the queries divided by their
    length.
    """
    # The vectors of absent tokens may hold NaN, which times a weight of zero is NaN in the output and in gradients.
    any_query, any_key = (query_slots >= 0).any(2)[..., None], (key_slots >= 0).any(2)[..., None]
    query, value = query.where(any_query, 0), value.where(any_key, 0)
    key = unit_vectors(query) if key is None else key.where(any_key, 0)
    count, itself = times_seen(query_slots, key_slots, windows, causal)
    scores = scale * query @ key.transpose(-1, -2)
    if not attend_self:
        others = count.masked_fill(itself, 0)
        sees_others = others.any(-1, keepdim=True)
        count = torch.where(sees_others, others, count)
        # Alone, a key weighs one, even if its score is infinite.
        scores = scores.masked_fill(~sees_others, 0)
    if deduplicate:
        count = count.clamp_max(1)
    if transform is not None:
        scores = scores.masked_fill(count == 0, 0)
        scores = transform.value(scores, transform.coefficients.to(scores.dtype)[:, None, None])
    scores = scores.masked_fill(count == 0, float("-inf"))
    largest = scores.detach().amax(-1, keepdim=True).clamp_min(torch.finfo(scores.dtype).min)
    weights = count * torch.exp(scores - largest)
    total = weights.sum(-1, keepdim=True)
    return weights / total.where(count.any(-1, keepdim=True), 1) @ value
