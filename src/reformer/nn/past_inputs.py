"""Past inputs of layers with a fixed reach, and real tokens packed to the front."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from reformer.nn.memory import Memory
from reformer.nn.tokens import Tokens


def front_order(mask: Bool[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
    """The order of tokens that has the real ones in front, as they follow each other, and the padding behind them."""
    counts = mask.long().cumsum(-1)
    number = torch.arange(mask.shape[1], device=mask.device).expand_as(counts)
    # Behind the real ones, as many places further as there is padding up to each.
    place = torch.where(mask, counts - 1, counts[:, -1:] + number - counts)
    return torch.empty_like(place).scatter_(-1, place, number)


def pack(
    vectors: Float[Tensor, "batch *heads length width"], order: Int[Tensor, "batch length"]
) -> Float[Tensor, "batch *heads length width"]:
    """The vectors in a `front_order`."""
    return vectors.gather(-2, _index(vectors, order))


def unpack(
    packed: Float[Tensor, "batch *heads length width"], order: Int[Tensor, "batch length"]
) -> Float[Tensor, "batch *heads length width"]:
    """Every vector back where `pack` took it from."""
    return torch.empty_like(packed).scatter(-2, _index(packed, order), packed)


def pack_real(
    inputs: Float[Tensor, "batch length width"], mask: Bool[Tensor, "batch length"]
) -> tuple[Float[Tensor, "batch length width"], Int[Tensor, "batch length"]]:
    """The real tokens' vectors in front, zeros behind them, and the order, for `unpack`."""
    order = front_order(mask)
    return pack(inputs.masked_fill(~mask[..., None], 0), order), order


def _index(vectors: Tensor, order: Int[Tensor, "batch length"]) -> Int[Tensor, "batch *heads length width"]:
    return order.view(order.shape[0], *(1,) * (vectors.dim() - 3), -1, 1).expand_as(vectors)


def after_history(
    inputs: Float[Tensor, "batch length width"], tokens: Tokens, memory: Memory, name: str, size: int
) -> tuple[Float[Tensor, "batch both width"], Int[Tensor, "batch length"] | None]:
    """A piece's inputs behind the last `size` real ones of the pieces before, zeros where there were none yet.

    They are replaced in `memory` by the last real ones up to this piece.

    Returns:
        `[batch, size + length, width]`, and the order of `pack_real`, to give results back to their tokens with
        `unpack`; None where nothing is padding and everything stayed in its place.
    """
    order = None
    if tokens.padded:
        inputs, order = pack_real(inputs, tokens.mask)
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
