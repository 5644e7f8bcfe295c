"""Depth-wise separable convolution over neighbouring tokens, to which padding is invisible."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reformer.nn.channels import Channels, StreamChannels
from reformer.nn.layer import Layer
from reformer.nn.memory import Memory
from reformer.nn.past_inputs import after_history, unpack
from reformer.nn.replay import Replay
from reformer.nn.tokens import Tokens


class SeparableConvolution(Layer):
    """One filter a channel over neighbouring tokens, then a linear map of the channels.

    Tokens beyond either end count as zero, and so does padding, so a padded sequence gives what it gives bare.

    Args:
        hidden_size: how many channels.
        kernel: the filter's odd width; it sees `kernel // 2` tokens to either side, or if `causal` the token
            itself and `kernel - 1` before it.
        causal: see nothing after the token.
    """

    stream_channels: ClassVar[StreamChannels] = {
        "depthwise": {1: Channels.EACH},
        "pointwise.weight": {0: Channels.EACH, 1: Channels.SUMMED},
        "pointwise.bias": {0: Channels.EACH},
    }

    def __init__(self, hidden_size: int, kernel: int, causal: bool = False) -> None:
        super().__init__()
        self.kernel, self.causal = kernel, causal
        self.depthwise = nn.Parameter(torch.empty(kernel, hidden_size))
        self.pointwise = nn.Linear(hidden_size, hidden_size)
        self.reset_learned()

    def reset_learned(self) -> None:
        """Draw the filters so that the variance of the channels stays."""
        nn.init.normal_(self.depthwise, std=self.kernel**-0.5)

    def why_whole(self) -> None:
        """None: the neighbours in other parts are asked for."""

    @property
    def output_maps(self) -> tuple[nn.Module]:
        return (self.pointwise,)

    def forward(
        self, hidden: Float[Tensor, "batch length hidden"], tokens: Tokens, replay: Replay, memory: Memory | None = None
    ) -> Float[Tensor, "batch length hidden"]:
        return self.pointwise(depthwise(hidden, self.depthwise, tokens, self.causal, memory))


def depthwise(
    hidden: Float[Tensor, "batch length channels"],
    filters: Float[Tensor, "kernel channels"],
    tokens: Tokens,
    causal: bool,
    memory: Memory | None = None,
    name: str = "inputs",
) -> Float[Tensor, "batch length channels"]:
    """Each channel's filter over neighbouring tokens; zeros stand beyond the ends and at padding.

    Args:
        filters: from the first neighbour to the last; see `SeparableConvolution`.
        memory, name: where the last inputs of the pieces before are, and under which name.
    """
    kernel, length, order = filters.shape[0], hidden.shape[1], None
    filters = filters.to(hidden.dtype)
    if memory is not None:
        padded, order = after_history(hidden, tokens, memory, name, kernel - 1)
    else:
        if tokens.padded:
            hidden = hidden.masked_fill(~tokens.mask[..., None], 0)
        before = kernel - 1 if causal else kernel // 2
        if tokens.part is not None:
            padded = tokens.part.around(hidden, before, kernel - 1 - before)
        else:
            padded = nn.functional.pad(hidden, (0, 0, before, kernel - 1 - before))
    mixed = padded[:, :length] * filters[0]
    for offset in range(1, kernel):
        mixed = torch.addcmul(mixed, padded[:, offset : offset + length], filters[offset])
    return mixed if order is None else unpack(mixed, order)
