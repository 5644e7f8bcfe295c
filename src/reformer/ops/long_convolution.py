"""Convolution of every channel with a long filter of its own, by fast Fourier transforms of overlapping blocks."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

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
    while size < min(filters.shape[1], inputs.shape[2]):
        output = output + _from_blocks_before(inputs, filters[:, size : 2 * size], size)
        size *= 2
    return output.to(dtype)


def _within(
    inputs: Float[Tensor, "batch channels length"], filters: Float[Tensor, "channels lags"]
) -> Float[Tensor, "batch channels length"]:
    """Lags below `DIRECT`: each block of outputs is a matrix times its own inputs and those of the block before."""
    batch, channels, length = inputs.shape
    blocks = -(-length // DIRECT)
    both = pad(inputs, (DIRECT, blocks * DIRECT - length)).unfold(2, 2 * DIRECT, DIRECT)
    both = both.transpose(0, 1).reshape(channels, batch * blocks, 2 * DIRECT)
    place = torch.arange(2 * DIRECT, device=inputs.device)
    lag = place[DIRECT:] - place[:, None]
    filters = pad(filters, (0, DIRECT - filters.shape[1]))
    matrix = filters[:, lag.clamp(0, DIRECT - 1)] * ((lag >= 0) & (lag < DIRECT)).to(filters.dtype)
    outputs = torch.bmm(both, matrix).view(channels, batch, blocks * DIRECT)
    return outputs.transpose(0, 1)[..., :length]


def _from_blocks_before(
    inputs: Float[Tensor, "batch channels length"], filters: Float[Tensor, "channels lags"], size: int
) -> Float[Tensor, "batch channels length"]:
    """Lags from `size` to `2 size - 1`, which `filters` holds: a block of outputs needs the two blocks before it."""
    length = inputs.shape[2]
    blocks = -(-length // size) - 1
    before = pad(inputs[..., : blocks * size], (size, 0)).unfold(2, 2 * size, size)
    mixed = torch.fft.irfft(torch.fft.rfft(before) * torch.fft.rfft(filters, 2 * size)[:, None], 2 * size)
    # In the first half of a circular convolution the end wraps around to the beginning.
    outputs = mixed[..., size:].flatten(2)
    return pad(outputs, (size, 0))[..., :length]


def _two_sided(
    inputs: Float[Tensor, "batch channels length"], filters: Float[Tensor, "channels lags"]
) -> Float[Tensor, "batch channels length"]:
    length, reach = inputs.shape[2], filters.shape[1] // 2
    if reach >= length:
        filters, reach = filters[:, reach - length + 1 : reach + length], length - 1
    # So large that at least half of every block is new outputs; shorter sequences are one block.
    size = 1 << (min(4 * reach, 2 * reach + length) + 1).bit_length()
    new = size - 2 * reach
    blocks = -(-length // new)
    around = pad(inputs, (reach, blocks * new - length + reach)).unfold(2, size, new)
    mixed = torch.fft.irfft(torch.fft.rfft(around) * torch.fft.rfft(filters, size)[:, None], size)
    return mixed[..., 2 * reach :].flatten(2)[..., :length]
