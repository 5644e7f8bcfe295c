"""Pooling of a sequence's tokens to one vector."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from reformer.nn.sequence_part import SequencePart


def pool(
    hidden: Float[Tensor, "batch length streams"],
    mask: Bool[Tensor, "batch length"],
    kind: str,
    weights: Float[Tensor, "batch length"] | None,
    part: SequencePart | None = None,
    rows: Bool[Tensor, "batch all"] | None = None,
) -> Float[Tensor, "batch streams"]:
    """Pooling of a sequence's real tokens; zeros where it has none.

    Args:
        kind: "mean", "max" or "first", where there are no weights.
        weights: for a mean by their softmax.
        part, rows: of a part of the rows, the way to the others, and the mask of whole rows.
    """
    if part is not None and rows is not None:
        return _pool_part(hidden, mask, kind, weights, part, rows)
    real = mask[..., None]
    if weights is not None:
        shares = _scores(weights, mask).softmax(-1).where(mask, 0)
        return (shares[:, None].to(hidden.dtype) @ hidden)[:, 0]
    if kind == "mean":
        return hidden.masked_fill(~real, 0).sum(1) / real.sum(1).clamp_min(1)
    any_real = real.any(1)
    if kind == "max":
        return hidden.masked_fill(~real, float("-inf")).amax(1).where(any_real, 0)
    return _first(hidden, mask).where(any_real, 0)


def _pool_part(
    hidden: Float[Tensor, "batch length streams"],
    mask: Bool[Tensor, "batch length"],
    kind: str,
    weights: Float[Tensor, "batch length"] | None,
    part: SequencePart,
    rows: Bool[Tensor, "batch all"],
) -> Float[Tensor, "batch streams"]:
    if weights is not None:
        shares = part.own(part.gather(_scores(weights, mask)).softmax(-1)).where(mask, 0)
        return part.sum((shares[:, None].to(hidden.dtype) @ hidden)[:, 0])
    if kind == "mean":
        return part.sum(hidden.masked_fill(~mask[..., None], 0).sum(1)) / rows.sum(1, keepdim=True).clamp_min(1)
    # One more token, which is none, since a part may be empty.
    hidden, mask = torch.nn.functional.pad(hidden, (0, 0, 0, 1)), torch.nn.functional.pad(mask, (0, 1))
    if kind == "max":
        greatest = part.each(hidden.masked_fill(~mask[..., None], float("-inf")).amax(1))
        return greatest.amax(0).where(rows.any(1, keepdim=True), 0)
    begins_here = mask.any(1) & ~rows[:, : sum(part.lengths[: part.process])].any(1)
    return part.sum(_first(hidden, mask).where(begins_here[:, None], 0))


def _scores(
    weights: Float[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
) -> Float[Tensor, "batch length"]:
    return weights.float().masked_fill(~mask, torch.finfo(torch.float32).min)


def _first(
    hidden: Float[Tensor, "batch length streams"], mask: Bool[Tensor, "batch length"]
) -> Float[Tensor, "batch streams"]:
    return hidden[torch.arange(hidden.shape[0], device=hidden.device), mask.byte().argmax(-1)]
