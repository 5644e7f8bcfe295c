"""Positions: added to the embeddings (axial, learned, sinusoidal) or turned into queries and keys (rotary)."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from reformer.nn.channels import Channels, StreamChannels
from reformer.nn.rotary_scaling import Scaling, attention_factor, rotary_frequencies


class AxialPositions(nn.Module):
    """A table of any number of sides: the position's digit on each side picks a part of the vector.

    `prod(shape)` positions cost `sum(shape)` rows, and a table learned at one length serves every shorter one.
    Source: Kitaev et al. 2020, appendix; Ho et al. 2019.

    Args:
        shape: the sides, slowest first.
        widths: how wide the part of each side is.
    """

    stream_channels: ClassVar[StreamChannels] = {"weights.": {-1: Channels.EACH}}

    def __init__(self, shape: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)
        sides = [[1] * index + [side] + [1] * (len(shape) - 1 - index) for index, side in enumerate(shape)]
        self.weights = nn.ParameterList(
            nn.Parameter(torch.empty(*side, width).normal_(std=0.02)) for side, width in zip(sides, widths, strict=True)
        )

    def forward(self, positions: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length hidden"]:
        parts, rest = [], positions
        for side, weight in zip(reversed(self.shape), reversed(list(self.weights)), strict=True):
            parts.append(weight.view(side, -1)[rest % side])
            rest = rest // side
        return torch.cat(parts[::-1], -1)


class LearnedPositions(nn.Module):
    """One learned vector for each position below `length`."""

    stream_channels: ClassVar[StreamChannels] = {"table.weight": {1: Channels.EACH}}

    def __init__(self, length: int, hidden_size: int) -> None:
        super().__init__()
        self.table = nn.Embedding(length, hidden_size)

    def forward(self, positions: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length hidden"]:
        return self.table(positions)


def continued_table(table: Float[Tensor, "rows hidden"], length: int) -> Float[Tensor, "length hidden"]:
    """A table of learned positions with `length` rows: past its end the rows behind the first one and before the last
    come again, since these two belong to the ends of a text; a shorter one is cut off."""
    rows = len(table)
    index = torch.arange(length, device=table.device)
    return table[torch.where(index < rows, index, 1 + (index - 1) % max(1, rows - 2))]


class SinusoidalPositions(nn.Module):
    """Sines, then cosines, of `position / base^(2 k / hidden_size)`; nothing is learned (Vaswani et al. 2017)."""

    def __init__(self, hidden_size: int, base: float = 10000.0) -> None:
        super().__init__()
        self.hidden_size, self.base = hidden_size, base

    def forward(self, positions: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length hidden"]:
        cosine, sine = _waves(positions, rotary_frequencies(self.hidden_size, self.base, device=positions.device))
        return torch.cat((sine, cosine), -1)


RotaryWaves = tuple[Float[Tensor, "batch 1 length half"], Float[Tensor, "batch 1 length half"]]
"""Cosines and sines of positions."""


def rotary_waves(
    positions: Int[Tensor, "batch length"], width: int, base: float | int = 10000.0, scaling: Scaling | None = None
) -> RotaryWaves:
    """Cosines and sines for `rotate`, to be shared by all layers.

    Args:
        width: how many channels of a head turn.
        base: see `rotary_frequencies`.
        scaling: of the frequencies; its `attention_factor` lengthens the waves.
    """
    cosine, sine = _waves(positions, rotary_frequencies(width, base, scaling, positions.device))
    if (factor := attention_factor(scaling)) != 1:
        cosine, sine = cosine * factor, sine * factor
    return cosine[:, None], sine[:, None]


def rotate(
    vectors: Float[Tensor, "batch heads length head_dim"],
    waves: RotaryWaves,
) -> Float[Tensor, "batch heads length head_dim"]:
    """Turn pairs of coordinates by the position, so that a score depends on the distance (Su et al. 2021). Channels
    beyond those that the waves have stay as they are."""
    cosine, sine = (wave.to(vectors.dtype) for wave in waves)
    return _Rotation.apply(vectors, cosine, sine)  # pyright: ignore[reportReturnType]


class _Rotation(torch.autograd.Function):
    """Its backward pass turns the gradient back, so that no vector is kept for it."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        ctx.save_for_backward(cosine, sine)
        return _turn(vectors, cosine, sine)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None]:
        cosine, sine = ctx.saved_tensors
        return _turn(grad_output, cosine, -sine), None, None


def _turn(vectors: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    half = cosine.shape[-1]
    left, right, rest = vectors[..., :half], vectors[..., half : 2 * half], vectors[..., 2 * half :]
    return torch.cat((left * cosine - right * sine, right * cosine + left * sine, rest), -1)


def _waves(positions: Tensor, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    # float32 cannot tell position 10^9 from its neighbour.
    angles = positions[..., None] * frequencies
    return angles.cos().float(), angles.sin().float()
