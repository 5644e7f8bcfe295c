"""Sub-layer: norm, function and dropout, whose result is added to a residual stream."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reformer.nn.attention import Attention
from reformer.nn.bottleneck import Bottleneck
from reformer.nn.channels import Channels, StreamChannels
from reformer.nn.layer import Layer
from reformer.nn.memory import Memory
from reformer.nn.norms import NORMS
from reformer.nn.replay import Replay, drops_within
from reformer.nn.reversible import pullback
from reformer.nn.token_parts import AttentionByParts, Take, TokensByParts, is_called_plainly, parts_of, slices
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

    def add_to(
        self,
        stream: Float[Tensor, "batch length hidden"],
        hidden: Float[Tensor, "batch length hidden"],
        tokens: Tokens,
        replay: Replay,
    ) -> None:
        """Add what it makes of its input to a stream, in place and without a graph; a part of the tokens at a time
        where that holds less."""
        work = self._by_parts(hidden, tokens, replay) if is_called_plainly(self) else None
        if work is None:
            stream.add_(self(hidden, tokens, replay))
            return
        with torch.no_grad(), self._adding_to(stream, 1, replay) as take:
            work.run(hidden, take)

    def pullback(
        self,
        hidden: Float[Tensor, "batch length hidden"],
        tokens: Tokens,
        replay: Replay,
        stream: Float[Tensor, "batch length hidden"],
        grad_output: Float[Tensor, "batch length hidden"],
        parameters: Sequence[Tensor],
        grad_hidden: Float[Tensor, "batch length hidden"],
    ) -> Sequence[Tensor | None]:
        """As `reformer.nn.reversible.pullback`; a part of the tokens at a time where that holds less."""
        work = self._by_parts(hidden, tokens, replay)
        if work is None:
            return pullback(self, hidden, tokens, replay, stream, grad_output, parameters, grad_hidden)
        # Dropout is a product with its mask, forward and backward.
        of_made = replay.rewind().dropout(grad_output, self.dropout)
        with self._adding_to(stream, -1, replay) as take:
            return work.pull(hidden, of_made, parameters, grad_hidden, take)

    def residual_pullback(
        self,
        hidden: Float[Tensor, "batch length hidden"],
        tokens: Tokens,
        replay: Replay,
        grad_output: Float[Tensor, "batch length hidden"],
        parameters: Sequence[Tensor],
    ) -> tuple[Tensor | None, Sequence[Tensor | None]]:
        """Run it again with `residual`, and find gradients as `pullback` does."""
        if (parts := self._chunks(hidden)) is not None:
            return self._pull_residual_chunks(parts, hidden, tokens, replay, grad_output, parameters)
        with torch.enable_grad():
            hidden = hidden.detach().requires_grad_()
            edge = torch.autograd.graph.get_gradient_edge(self(hidden, tokens, replay.rewind(), residual=True))
        found = torch.autograd.grad([edge], [hidden, *parameters], [grad_output], allow_unused=True)
        return found[0], found[1:]

    def _pull_residual_chunks(
        self,
        parts: Sequence[slice],
        hidden: Tensor,
        tokens: Tokens,
        replay: Replay,
        grad_output: Tensor,
        parameters: Sequence[Tensor],
    ) -> tuple[Tensor, Sequence[Tensor | None]]:
        def normed_and_made(part: Tensor) -> tuple[Tensor, ...]:
            normed = self.norm(part)
            made = self._of_normed(normed, tokens, replay, None)
            return (made, normed) if self.norm_skip else (made,)

        # Dropout is a product with its mask, forward and backward.
        ends = [replay.rewind().dropout(grad_output, self.dropout), grad_output]
        of_hidden = torch.zeros_like(hidden) if self.norm_skip else grad_output.clone()
        ends = ends if self.norm_skip else ends[:1]
        found = TokensByParts(normed_and_made, parts).pull_all(hidden, ends, parameters, of_hidden)
        return of_hidden, found

    def _chunks(self, hidden: Tensor) -> list[slice] | None:
        """The tokens that a function with a `chunk_size`, which looks at each alone, is run on at a time; None for
        all."""
        size, length = getattr(self.function, "chunk_size", 0), hidden.shape[1]
        return slices(length, size) if 0 < size < length else None

    def _by_parts(self, hidden: Tensor, tokens: Tokens, replay: Replay) -> TokensByParts | AttentionByParts | None:
        """What runs it a part of the tokens at a time; None where it is to be run at once."""
        if (chunks := self._chunks(hidden)) is not None:
            return TokensByParts(lambda part: (self._of_normed(self.norm(part), tokens, replay, None),), chunks)
        function = self.function
        if not (isinstance(function, Attention) and function.projects_tokens_alone and is_called_plainly(function)):
            return None
        # What an adapter drops out is drawn in the order in which it is run, which would be another the second time.
        parts = None if replay.seed is not None and drops_within(self) else parts_of(hidden)
        behind = nn.Identity() if self.after is None else self.after
        return None if parts is None else AttentionByParts(function, self.norm, behind, tokens, replay, parts)

    @contextmanager
    def _adding_to(self, stream: Tensor, times: int, replay: Replay) -> Iterator[Take]:
        """What takes the output for each part, and adds so many times that, dropped out, to a stream."""
        if self.dropout == 0 or replay.seed is None:
            yield lambda part, made: stream[:, part].add_(made, alpha=times)
            return
        # A dropout mask is drawn for all tokens at once, so the output must be whole.
        output = torch.empty_like(stream)
        yield lambda part, made: output[:, part].copy_(made)
        stream.add_(replay.rewind().dropout(output, self.dropout), alpha=times)
