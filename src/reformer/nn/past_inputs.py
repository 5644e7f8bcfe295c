"""The last inputs of the pieces before, for layers that look a fixed way back; padding has no part in it."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from reformer.nn.memory import Memory
from reformer.nn.tokens import Tokens


def pack(
    inputs: Float[Tensor, "batch length width"], mask: Bool[Tensor, "batch length"]
) -> tuple[Float[Tensor, "batch length width"], Int[Tensor, "batch length"]]:
    """The real tokens in front, in their order, with zeros behind them, and where each row came from."""
    order = (~mask).byte().argsort(dim=-1, stable=True)
    inputs = inputs.masked_fill(~mask[..., None], 0)
    return inputs.gather(1, order[..., None].expand_as(inputs)), order


def unpack(
    packed: Float[Tensor, "batch length width"], order: Int[Tensor, "batch length"]
) -> Float[Tensor, "batch length width"]:
    """Every row back to where `pack` took it from."""
    return torch.empty_like(packed).scatter(1, order[..., None].expand_as(packed), packed)


def after_history(
    inputs: Float[Tensor, "batch length width"], tokens: Tokens, memory: Memory, name: str, size: int
) -> tuple[Float[Tensor, "batch both width"], Int[Tensor, "batch length"] | None]:
    """A piece's inputs behind the last `size` real ones of the pieces before, zeros where there were none yet.

    They are replaced in `memory` by the last real ones up to this piece.

    Returns:
        `[batch, size + length, width]`, and the order of `pack`, to give results back to their tokens with `unpack`;
        None where nothing is padding and everything stayed in its place.
    """
    order = None
    if tokens.padded:
        inputs, order = pack(inputs, tokens.mask)
    earlier = memory.tensors.get(name)
    if earlier is None:
        earlier = inputs.new_zeros(inputs.shape[0], size, inputs.shape[2])
    both = torch.cat((earlier.to(inputs.dtype), inputs), 1)
    if order is None:
        last = both[:, both.shape[1] - size :].clone()
    else:
        rows = tokens.mask.sum(-1)[:, None] + torch.arange(size, device=inputs.device)
        last = both.gather(1, rows[..., None].expand(-1, -1, inputs.shape[2]))
    memory.tensors[name] = last
    return both, order
