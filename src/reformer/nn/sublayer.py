"""Sub-layer: norm, function and dropout, whose result is added to a residual stream."""

from collections.abc import Callable, Sequence
from functools import partial
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
        self,
        hidden: Float[Tensor, "batch length hidden"],
        tokens: Tokens,
        replay: Replay,
        memory: Memory | None = None,
        *,
        residual: bool = False,
    ) -> Float[Tensor, "batch length hidden"]:
        """What is added to the stream, or with `residual` the stream after that: the sum of it and the input, or the
        normed input."""
        normed = self.norm(hidden)
        made = replay.dropout(self._of_normed(normed, tokens, replay, memory), self.dropout)
        if not residual:
            return made
        return made + (normed if self.norm_skip else hidden)

    def _of_normed(self, normed: Tensor, tokens: Tokens, replay: Replay, memory: Memory | None) -> Tensor:
        with replay.within(self):
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
        size = self._chunk(hidden)
        if size is None:
            return pullback(self, hidden, tokens, replay, stream, grad_output, parameters)
        # A dropout mask is drawn for all tokens at once, so the output must be whole; without one it need not be held.
        dropped = self.dropout > 0 and replay.seed is not None
        output = hidden.new_empty(hidden.shape if dropped else 0)
        take_off = partial(_keep_part, output) if dropped else partial(_take_off_part, stream)
        found = self._pull_chunks(size, hidden, tokens, replay, grad_output, parameters, take_off)
        if dropped:
            stream.sub_(replay.rewind().dropout(output, self.dropout))
        return found

    def residual_pullback(
        self,
        hidden: Float[Tensor, "batch length hidden"],
        tokens: Tokens,
        replay: Replay,
        grad_output: Float[Tensor, "batch length hidden"],
        parameters: Sequence[Tensor],
    ) -> tuple[Tensor | None, Sequence[Tensor | None]]:
        """Run it again with `residual`, and find gradients as `pullback` does."""
        size = self._chunk(hidden)
        if size is not None:
            return self._pull_chunks(size, hidden, tokens, replay, grad_output, parameters, skips=True)
        with torch.enable_grad():
            hidden = hidden.detach().requires_grad_()
            edge = torch.autograd.graph.get_gradient_edge(self(hidden, tokens, replay.rewind(), residual=True))
        found = torch.autograd.grad([edge], [hidden, *parameters], [grad_output], allow_unused=True)
        return found[0], found[1:]

    def _chunk(self, hidden: Tensor) -> int | None:
        """How many tokens the function is run on at a time; None for all."""
        size = getattr(self.function, "chunk_size", 0)
        return size if 0 < size < hidden.shape[1] else None

    def _pull_chunks(
        self,
        size: int,
        hidden: Tensor,
        tokens: Tokens,
        replay: Replay,
        grad_output: Tensor,
        parameters: Sequence[Tensor],
        made_again: Callable[[slice, Tensor], None] | None = None,
        *,
        skips: bool = False,
    ) -> tuple[Tensor, Sequence[Tensor | None]]:
        """Gradients of the input and of some parameters, so many tokens at a time.

        Args:
            made_again: given what the function makes of each part, without dropout.
            skips: whether the input, or the normed input, was added to it.
        """
        # Dropout is a product with its mask, forward and backward.
        of_made = replay.rewind().dropout(grad_output, self.dropout)
        of_hidden = torch.zeros_like(hidden)
        total: list[Tensor | None] = [None] * len(parameters)
        for begin in range(0, hidden.shape[1], size):
            part = slice(begin, begin + size)
            with torch.enable_grad():
                given = hidden[:, part].detach().requires_grad_()
                normed = self.norm(given)
                outputs, gradients = [self._of_normed(normed, tokens, replay, None)], [of_made[:, part]]
                if skips:
                    outputs.append(normed if self.norm_skip else given)
                    gradients.append(grad_output[:, part])
                found = torch.autograd.grad(outputs, [given, *parameters], gradients, allow_unused=True)
            if made_again is not None:
                made_again(part, outputs[0].detach())
            del normed, outputs
            if found[0] is not None:
                of_hidden[:, part] = found[0]
            for index, gradient in enumerate(found[1:]):
                earlier = total[index]
                total[index] = gradient if earlier is None else earlier.add_(gradient)
        return of_hidden, total


def _keep_part(output: Tensor, part: slice, made: Tensor) -> None:
    output[:, part] = made


def _take_off_part(stream: Tensor, part: slice, made: Tensor) -> None:
    stream[:, part].sub_(made)
