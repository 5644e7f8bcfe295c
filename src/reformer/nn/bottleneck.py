"""Bottleneck behind a sub-layer: to few dimensions, through a nonlinearity, and back."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reformer.nn.channels import Channels, StreamChannels

BOTTLENECK_ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}


class Bottleneck(nn.Module):
    """`activation(x V + b) U + c`: all that passes has `size` dimensions (`docs/math.md`, equation 31).

    Args:
        hidden_size: the width outside.
        size: the width inside.
        activation: "tanh" or "relu".
    """

    stream_channels: ClassVar[StreamChannels] = {
        "narrow.weight": {1: Channels.SUMMED},
        "widen.weight": {0: Channels.EACH},
        "widen.bias": {0: Channels.EACH},
    }

    def __init__(self, hidden_size: int, size: int, activation: str = "tanh") -> None:
        super().__init__()
        self.activation = BOTTLENECK_ACTIVATIONS[activation]
        self.narrow = nn.Linear(hidden_size, size)
        self.widen = nn.Linear(size, hidden_size)

    def forward(self, hidden: Float[Tensor, "batch length hidden"]) -> Float[Tensor, "batch length hidden"]:
        return self.widen(self.activation(self.narrow(hidden)))
