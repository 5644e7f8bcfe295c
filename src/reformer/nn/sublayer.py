"""Sub-layer: norm, function and dropout, whose result is added to a residual stream."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reformer.nn.bottleneck import Bottleneck
from reformer.nn.channels import Channels, StreamChannels
from reformer.nn.layer import Layer
from reformer.nn.memory import Memory
from reformer.nn.norms import NORMS
from reformer.nn.replay import Replay
from reformer.nn.reversible import pullback
from reformer.nn.tokens import Tokens


class SubLayer(nn.Module):
    """`dropout(after(function(norm(x))))`: what is added to a residual stream.

    Args:
        function: the layer.
        hidden_size: the width of the stream.
        dropout: the probability; equal whenever the sub-layer is run again for one forward pass.
        eps: of the norm.
        after: a bottleneck behind it; None for none.
        norm: a name in `NORMS`.
        norm_skip: add to the normed input in place of the input, as a post-norm Transformer does, whose output norm of
            one sub-layer is the norm of the next. For a plain residual stack alone.
    """

    stream_channels: ClassVar[StreamChannels] = {"norm.weight": {0: Channels.EACH}, "norm.bias": {0: Channels.EACH}}

    def __init__(
        self,
        function: Layer,
        hidden_size: int,
        dropout: float = 0.0,
        eps: float = 1e-6,
        after: Bottleneck | None = None,
        norm: str = "layer",
        norm_skip: bool = False,
    ) -> None:
        super().__init__()
        self.norm = NORMS[norm](hidden_size, eps=eps)
        self.norm_skip = norm_skip
        self.function = function
        self.after = after
        self.dropout = dropout

    @property
    def output_maps(self) -> Sequence[nn.Module]:
        """The linear maps that write to the stream."""
        return self.function.output_maps if self.after is None else (self.after.widen,)

    def forward(
        self, hidden: Float[Tensor, "batch length hidden"], tokens: Tokens, replay: Replay, memory: Memory | None = None
    ) -> Float[Tensor, "batch length hidden"]:
        return replay.dropout(self._transformed(hidden, tokens, replay, memory), self.dropout)

    def residual(
        self, hidden: Float[Tensor, "batch length hidden"], tokens: Tokens, replay: Replay, memory: Memory | None = None
    ) -> Float[Tensor, "batch length hidden"]:
        """The stream after this sub-layer: what `forward` gives, added to the input or to the normed input."""
        normed = self.norm(hidden)
        made = replay.dropout(self._of_normed(normed, tokens, replay, memory), self.dropout)
        return made + (normed if self.norm_skip else hidden)

    def _transformed(self, hidden: Tensor, tokens: Tokens, replay: Replay, memory: Memory | None = None) -> Tensor:
        return self._of_normed(self.norm(hidden), tokens, replay, memory)

    def _of_normed(self, normed: Tensor, tokens: Tokens, replay: Replay, memory: Memory | None) -> Tensor:
        made = self.function(normed, tokens, replay, memory)
        return made if self.after is None else self.after(made)

    def pullback(
        self,
        hidden: Float[Tensor, "batch length hidden"],
        tokens: Tokens,
        replay: Replay,
        stream: Float[Tensor, "batch length hidden"],
        grad_output: Float[Tensor, "batch length hidden"],
        parameters: Sequence[Tensor],
    ) -> tuple[Tensor | None, Sequence[Tensor | None]]:
        """As `reformer.nn.reversible.pullback`; a function with a `chunk_size` looks at each token alone, and so many
        tokens at a time are run and differentiated, that its inner width is never held for a whole long sequence."""
        size = getattr(self.function, "chunk_size", 0)
        if not 0 < size < hidden.shape[1]:
            return pullback(self, hidden, tokens, replay, stream, grad_output, parameters)
        # Dropout is a product with its mask, forward and backward.
        grad_output = replay.rewind().dropout(grad_output, self.dropout)
        of_hidden = torch.zeros_like(hidden)
        # A dropout mask is drawn for all tokens at once, so the output must be whole; without one it need not be held.
        dropped = self.dropout > 0 and replay.seed is not None
        output = hidden.new_empty(0)
        total: list[Tensor | None] = [None] * len(parameters)
        for begin in range(0, hidden.shape[1], size):
            part = slice(begin, begin + size)
            with torch.enable_grad():
                given = hidden[:, part].detach().requires_grad_()
                made = self._transformed(given, tokens, replay)
                found = torch.autograd.grad(made, [given, *parameters], grad_output[:, part], allow_unused=True)
            if dropped:
                output = output if output.numel() else made.new_empty(hidden.shape)
                output[:, part] = made.detach()
            else:
                stream[:, part].sub_(made.detach())
            del made
            if found[0] is not None:
                of_hidden[:, part] = found[0]
            for index, gradient in enumerate(found[1:]):
                earlier = total[index]
                total[index] = gradient if earlier is None else earlier.add_(gradient)
        if dropped:
            stream.sub_(replay.rewind().dropout(output, self.dropout))
        return of_hidden, total
