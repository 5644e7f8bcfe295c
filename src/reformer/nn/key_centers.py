"""Centering of keys before they are hashed, so that their common part does not fill a few buckets."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from reformer.nn.memory import Memory
from reformer.nn.sequence_part import SequencePart


@torch.no_grad()
def centered(
    keys: Float[Tensor, "batch heads length head_dim"],
    mask: Bool[Tensor, "batch length"],
    causal: bool,
    memory: Memory | None = None,
    part: SequencePart | None = None,
) -> Float[Tensor, "batch heads length head_dim"]:
    """Keys less the mean of the sequence's real keys; causal, of those up to each key (`docs/math.md`, equation 48).

    A softmax does not see what is subtracted from all keys alike, and an angular hash does: keys that were never
    normalised share a part that is several times their spread, and queries then fall into buckets without keys.

    Args:
        keys: the vectors to be hashed.
        mask: True for a real key.
        causal: subtract from each key the mean of those up to it.
        memory: of a causal sequence that is read in pieces, where the sum so far lives.
        part: where these are the tokens of a part of the rows.
    """
    # Sums in float64: in other orders, as of padded or streamed sequences, float32 would round keys into other buckets.
    exact = keys.double().masked_fill(~mask[:, None, :, None], 0)
    counts = mask.cumsum(-1, dtype=torch.float64) if causal else mask.sum(-1, keepdim=True, dtype=torch.float64)
    sums = exact.cumsum(2) if causal else exact.sum(2, keepdim=True)
    if memory is not None:
        if "key_sum" in memory.tensors:
            sums, counts = sums + memory.tensors["key_sum"], counts + memory.tensors["key_count"]
        memory.tensors.update(key_sum=sums[:, :, -1:], key_count=counts[:, -1:])
    if part is not None:
        of_rows = torch.cat((exact, mask[:, None, :, None].expand(-1, exact.shape[1], -1, 1).to(exact)), -1).sum(
            2, keepdim=True
        )
        earlier, every = part.sum_before(of_rows)
        if causal:
            sums, counts = sums + earlier[..., :-1], counts + earlier[:, 0, :, -1]
        else:
            sums, counts = every[..., :-1], every[:, 0, :, -1]
    return (keys.double() - sums / counts.clamp_min(1)[:, None, :, None]).to(keys.dtype)
