"""Convolution of every channel with its own long filter, by fast Fourier transforms of overlapping blocks."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

DIRECT = 64
"""Lags below this are a product of matrices; it is also the smallest block of the causal form."""


def long_convolution(
    inputs: Float[Tensor, "batch channels length"], filters: Float[Tensor, "channels lags"], *, causal: bool
) -> Float[Tensor, "batch channels length"]:
    """`y(t) = sum_lag h(lag) u(t - lag)`, inputs before and after the sequence being zero.

    Causal, the sum is over lags `0, ..., lags - 1`, and later inputs change no earlier output, bit for bit: an output
    meets the inputs of its own stretch of 64 and of the one before in a product of matrices, where what comes later is
    multiplied by zero, and lags from `S` to `2 S - 1` come from transforms of whole earlier blocks of `S` inputs, for
    `S = 64, 128, ...` (`docs/math.md`, equation 34). Two-sided, the lags are `-(lags // 2), ..., lags // 2`, their
    number is odd, and overlapping blocks of one size are transformed.

    Time is `O(length log(lags))` for each channel, and `log(lags)` squared if causal. Computed in float32, float64 if
    that is given.

    Args:
        filters: the lags in ascending order.
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


def _within(inputs: Tensor, filters: Tensor) -> Tensor:
    """Lags below `DIRECT`: each stretch of outputs is a matrix times its own inputs and those of the stretch before."""
    batch, channels, length = inputs.shape
    stretches = -(-length // DIRECT)
    both = pad(inputs, (DIRECT, stretches * DIRECT - length)).unfold(2, 2 * DIRECT, DIRECT)
    both = both.transpose(0, 1).reshape(channels, batch * stretches, 2 * DIRECT)
    place = torch.arange(2 * DIRECT, device=inputs.device)
    lag = place[DIRECT:] - place[:, None]
    filters = pad(filters, (0, DIRECT - filters.shape[1]))
    matrix = filters[:, lag.clamp(0, DIRECT - 1)] * ((lag >= 0) & (lag < DIRECT)).to(filters.dtype)
    outputs = torch.bmm(both, matrix).view(channels, batch, stretches * DIRECT)
    return outputs.transpose(0, 1)[..., :length]


def _from_blocks_before(inputs: Tensor, filters: Tensor, size: int) -> Tensor:
    """Lags from `size` to `2 size - 1`, to which `filters` are: the two blocks before each block of outputs."""
    length = inputs.shape[2]
    blocks = -(-length // size) - 1
    before = pad(inputs[..., : blocks * size], (size, 0)).unfold(2, 2 * size, size)
    mixed = torch.fft.irfft(torch.fft.rfft(before) * torch.fft.rfft(filters, 2 * size)[:, None], 2 * size)
    # Of the circular convolution, the second half has not gone round.
    outputs = mixed[..., size:].flatten(2)
    return pad(outputs, (size, 0))[..., :length]


def _two_sided(inputs: Tensor, filters: Tensor) -> Tensor:
    length, reach = inputs.shape[2], filters.shape[1] // 2
    if reach >= length:
        filters, reach = filters[:, reach - length + 1 : reach + length], length - 1
    # At least half of every block is new; shorter sequences are one block.
    size = 1 << (min(4 * reach, 2 * reach + length) + 1).bit_length()
    new = size - 2 * reach
    blocks = -(-length // new)
    around = pad(inputs, (reach, blocks * new - length + reach)).unfold(2, size, new)
    mixed = torch.fft.irfft(torch.fft.rfft(around) * torch.fft.rfft(filters, size)[:, None], size)
    return mixed[..., 2 * reach :].flatten(2)[..., :length]
