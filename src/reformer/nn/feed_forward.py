"""Feed-forward layer, computed for a chunk of tokens at a time."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reformer.nn.channels import Channels, StreamChannels
from reformer.nn.layer import Layer
from reformer.nn.memory import Memory
from reformer.nn.replay import Replay
from reformer.nn.tokens import Tokens
from reformer.ops import standard

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "gelu": nn.functional.gelu,
    "gelu_tanh": partial(nn.functional.gelu, approximate="tanh"),
    "silu": nn.functional.silu,
}


class FeedForward(Layer):
    """`activation(x W1 + b1) W2 + b2` for each token, gated if asked: `(activation(x W1 + b1) * (x W3 + b3)) W2`.

    Args:
        hidden_size, feed_forward_size: the outer and the inner width.
        activation: a name in `ACTIVATIONS`.
        gated: multiply by a second projection.
        chunk_size: how many tokens are worked on at a time, so that the inner width is never held for a whole long
            sequence; 0 for all at once. The result is the same.
        linear: makes the linear maps from their two widths, such as `CirculantLinear` with its block.
    """

    stream_channels: ClassVar[StreamChannels] = {
        "inner.weight": {1: Channels.SUMMED},
        "gate.weight": {1: Channels.SUMMED},
        "outer.weight": {0: Channels.EACH},
        "outer.bias": {0: Channels.EACH},
    }

    def __init__(
        self,
        hidden_size: int,
        feed_forward_size: int,
        activation: str = "gelu",
        gated: bool = False,
        chunk_size: int = 0,
        linear: Callable[[int, int], nn.Module] = nn.Linear,
    ) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.chunk_size = chunk_size
        self.inner = linear(hidden_size, feed_forward_size)
        self.gate = linear(hidden_size, feed_forward_size) if gated else None
        self.outer = linear(feed_forward_size, hidden_size)

    def why_whole(self) -> None:
        """None: every token is computed alone."""

    @property
    def output_maps(self) -> tuple[nn.Module]:
        return (self.outer,)

    def forward(
        self, hidden: Float[Tensor, "batch length hidden"], tokens: Tokens, replay: Replay, memory: Memory | None = None
    ) -> Float[Tensor, "batch length hidden"]:
        # A graph that is traced would hold as many chunks as its first sequence has.
        if self.chunk_size == 0 or standard.is_traced() or hidden.shape[1] <= self.chunk_size:
            return self._transform(hidden)
        chunks = hidden.split(self.chunk_size, dim=1)
        if torch.is_grad_enabled():
            return torch.cat([self._transform(chunk) for chunk in chunks], dim=1)
        # Kept in a list and concatenated, the chunks would need twice the memory of the output.
        begin, output = 0, hidden.new_empty(0)
        for chunk in chunks:
            made = self._transform(chunk)
            output = made.new_empty(hidden.shape) if begin == 0 else output
            output[:, begin : begin + chunk.shape[1]] = made
            begin += chunk.shape[1]
        return output

    def _transform(self, hidden: Tensor) -> Tensor:
        inner = self.activation(self.inner(hidden))
        if self.gate is not None:
            inner = inner * self.gate(hidden)
        return self.outer(inner)
