"""Convolution of every channel with a long filter of its own, by fast Fourier transforms of overlapping blocks."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from reformer.ops import standard

DIRECT = 64
"""Lags below this are computed as a product of matrices; also the smallest block of the causal form."""


def long_convolution(
    inputs: Float[Tensor, "batch channels length"], filters: Float[Tensor, "channels lags"], *, causal: bool
) -> Float[Tensor, "batch channels length"]:
    """`y(t) = sum_lag h(lag) u(t - lag)`, inputs before and after the sequence being zero.

    Causal, the sum is over lags `0, ..., lags - 1`, and later inputs do not change a bit of earlier outputs: lags below
    64 are a product of matrices, whose entries for later inputs are zero, over the output's own block of 64 inputs and
    the block before; lags from `S` to `2 S - 1` come from transforms of whole earlier blocks of `S` inputs, for
    `S = 64, 128, ...` (`docs/math.md`, equation 34). Two-sided, the lags are `-(lags // 2), ..., lags // 2`, their
    number is odd, and overlapping blocks of one size are transformed.

    Time is `O(length log(lags))` for each channel, with `log(lags)` squared if causal.

    Args:
        inputs: any floating dtype, which the result keeps; computed in float64 for float64, else in float32.
        filters: the lags in ascending order.
        causal: whether the lags are not negative.

    Example:
        >>> impulse, filters = torch.tensor([[[0.0, 1.0, 0.0, 0.0]]]), torch.tensor([[1.0, 2.0, 3.0]])
        >>> long_convolution(impulse, filters, causal=True).tolist()
        [[[0.0, 1.0, 2.0, 3.0]]]
    """
    dtype = inputs.dtype
    if dtype != torch.float64:
        inputs, filters = inputs.float(), filters.float()
    if not causal:
        return _two_sided(inputs, filters).to(dtype)
    output = _within(inputs, filters[:, :DIRECT])
    size = DIRECT
    # What is traced once serves every length.
    longest = filters.shape[1] if standard.is_traced() else min(filters.shape[1], inputs.shape[2])
    while size < longest:
        output = output + _from_blocks_before(inputs, filters[:, size : 2 * size], size)
        size *= 2
    return output.to(dtype)


def _within(
    inputs: Float[Tensor, "batch channels length"], filters: Float[Tensor, "channels lags"]
) -> Float[Tensor, "batch channels length"]:
    """Lags below `DIRECT`: each block of outputs is a matrix times its own inputs and those of the block before."""
    batch, channels, length = inputs.shape
    blocks = -(-length // DIRECT) + standard.is_traced()
    both = pad(inputs, (DIRECT, blocks * DIRECT - length)).unfold(2, 2 * DIRECT, DIRECT)
    place = torch.arange(2 * DIRECT, device=inputs.device)
    lag = place[DIRECT:] - place[:, None]
    filters = pad(filters, (0, DIRECT - filters.shape[1]))
    matrix = filters[:, lag.clamp(0, DIRECT - 1)] * ((lag >= 0) & (lag < DIRECT)).to(filters.dtype)
    if standard.is_traced():
        return _first(both @ matrix, length)
    both = both.transpose(0, 1).reshape(channels, batch * blocks, 2 * DIRECT)
    outputs = torch.bmm(both, matrix).view(channels, batch, blocks * DIRECT)
    return outputs.transpose(0, 1)[..., :length]


def _from_blocks_before(
    inputs: Float[Tensor, "batch channels length"], filters: Float[Tensor, "channels lags"], size: int
) -> Float[Tensor, "batch channels length"]:
    """Lags from `size` to `2 size - 1`, which `filters` holds: a block of outputs needs the two blocks before it."""
    length = inputs.shape[2]
    if standard.is_traced():
        # The first block's outputs too, which are zero, and one block more: compilers make cases of sizes of one.
        blocks = -(-length // size) + 1
        before = pad(inputs, (2 * size, blocks * size - length))[..., : (blocks + 1) * size].unfold(2, 2 * size, size)
        return _first(_circular(before, filters, 2 * size)[..., size:], length)
    blocks = -(-length // size) - 1
    before = pad(inputs[..., : blocks * size], (size, 0)).unfold(2, 2 * size, size)
    # In the first half of a circular convolution the end wraps around to the beginning.
    outputs = _circular(before, filters, 2 * size)[..., size:].flatten(2)
    return pad(outputs, (size, 0))[..., :length]


def _two_sided(
    inputs: Float[Tensor, "batch channels length"], filters: Float[Tensor, "channels lags"]
) -> Float[Tensor, "batch channels length"]:
    length, reach = inputs.shape[2], filters.shape[1] // 2
    is_traced = standard.is_traced()
    if not is_traced and reach >= length:
        filters, reach = filters[:, reach - length + 1 : reach + length], length - 1
    # So large that at least half of every block is new outputs; shorter sequences are one block.
    size = 1 << ((4 * reach if is_traced else min(4 * reach, 2 * reach + length)) + 1).bit_length()
    new = size - 2 * reach
    blocks = -(-length // new) + is_traced
    around = pad(inputs, (reach, blocks * new - length + reach)).unfold(2, size, new)
    return _first(_circular(around, filters, size)[..., 2 * reach :], length)


def _first(blocks: Float[Tensor, "batch channels blocks size"], length: int) -> Float[Tensor, "batch channels length"]:
    """The first outputs of all blocks in a row."""
    if standard.is_traced():
        # A view and a slice would ask a compiler how many blocks there are.
        place = torch.arange(length, device=blocks.device)
        return blocks[:, :, place // blocks.shape[-1], place % blocks.shape[-1]]
    return blocks.flatten(2)[..., :length]


def _circular(
    blocks: Float[Tensor, "batch channels blocks size"], filters: Float[Tensor, "channels lags"], size: int
) -> Float[Tensor, "batch channels blocks size"]:
    """The circular convolution of every block with its channel's filter."""
    if standard.is_traced():
        return _circular_operator(blocks, filters)
    return torch.fft.irfft(torch.fft.rfft(blocks) * torch.fft.rfft(filters, size)[:, None], size)


# An operator, because a transform of blocks whose number is open cannot be traced.
@torch.library.custom_op(
    "reformer::circular_convolution", mutates_args=(), schema="(Tensor blocks, Tensor filters) -> Tensor"
)
def _circular_operator(
    blocks: Float[Tensor, "batch channels blocks size"], filters: Float[Tensor, "channels lags"]
) -> Float[Tensor, "batch channels blocks size"]:
    size = blocks.shape[-1]
    return torch.fft.irfft(torch.fft.rfft(blocks) * torch.fft.rfft(filters, size)[:, None], size)


@_circular_operator.register_fake
def _(blocks: Tensor, filters: Tensor) -> Tensor:
    return blocks.new_empty(blocks.shape)


@torch.library.custom_op(
    "reformer::circular_convolution_backward",
    mutates_args=(),
    schema="(Tensor grad_output, Tensor blocks, Tensor filters) -> (Tensor, Tensor)",
)
def _circular_backward(
    grad_output: Float[Tensor, "batch channels blocks size"],
    blocks: Float[Tensor, "batch channels blocks size"],
    filters: Float[Tensor, "channels lags"],
) -> tuple[Float[Tensor, "batch channels blocks size"], Float[Tensor, "channels lags"]]:
    size = blocks.shape[-1]
    of_output = torch.fft.rfft(grad_output)
    grad_blocks = torch.fft.irfft(of_output * torch.fft.rfft(filters, size).conj()[:, None], size)
    of_filters = (of_output * torch.fft.rfft(blocks).conj()).sum((0, 2))
    return grad_blocks, torch.fft.irfft(of_filters, size)[:, : filters.shape[1]].contiguous()


@_circular_backward.register_fake
def _(grad_output: Tensor, blocks: Tensor, filters: Tensor) -> tuple[Tensor, Tensor]:
    return blocks.new_empty(blocks.shape), filters.new_empty(filters.shape)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, grad_output: Tensor) -> tuple[Tensor, Tensor]:
    return _circular_backward(grad_output, *ctx.saved_tensors)


_circular_operator.register_autograd(_differentiate, setup_context=_keep)
