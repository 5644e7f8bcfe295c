"""Residual stack on one stream: the plain Transformer, whose sub-layers' inputs are kept for the backward pass."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from reformer.nn.between import Between, check_whole
from reformer.nn.layer_drop import LayerDrop
from reformer.nn.memory import Memory
from reformer.nn.recomputation import (
    Gradients,
    Recompute,
    Trained,
    autocast_now,
    check_replayable,
    frozen_bottom,
    is_run_again,
    sharded_pullback,
)
from reformer.nn.replay import Replay, replays
from reformer.nn.sequence_part import NeedsWholeRows, why_whole
from reformer.nn.sublayer import SubLayer
from reformer.nn.tokens import Tokens

KEPT_BYTES = 1 << 29
"""What a pass keeps of its sub-layers' inputs, about; where all of them are more, whole groups are run again."""

Part = tuple[SubLayer, Replay]


class ResidualSequence(nn.Module, NeedsWholeRows):
    """Runs `x -> x + f(x)` for each sub-layer `f` in turn (`docs/math.md`, 23), or `x -> norm(x) + f(x)`.

    Its input cannot be found again from its output, so training memory grows with the number of sub-layers: by all that
    they compute, or with `recompute` by one vector a token and sub-layer, from which the backward pass runs it again.
    Of long sequences these vectors, too, are much: beyond `KEPT_BYTES` those of `sqrt(n)` groups of the `n` sub-layers
    are kept, and those within a group while the backward pass is in it, for one more forward pass. Of short ones it is
    little: "auto" runs nothing again up to `recomputation.COMPUTED_BYTES`, which saves a forward pass. All give the
    same gradients, dropout included. Source: Vaswani et al. 2017; Chen et al. 2016, section 4.

    Args:
        sublayers: what is added to the stream, or with `norm_skip` to the normed stream.
        drop: which of them a training pass leaves out; None for none.
        recompute: run each sub-layer again instead of keeping what it computes; "auto" where that is much.
    """

    def __init__(
        self, sublayers: Iterable[SubLayer], drop: LayerDrop | None = None, recompute: Recompute = False
    ) -> None:
        super().__init__()
        self.sublayers = nn.ModuleList(sublayers)
        self.drop = drop
        self.recompute: Recompute = recompute

    def why_whole(self) -> str | None:
        return why_whole([part for sublayer in self.sublayers for part in sublayer.modules()])

    @property
    def memory_count(self) -> int:
        """How many memories a forward pass in pieces takes."""
        return len(self.sublayers)

    def forward(
        self,
        hidden: Float[Tensor, "batch length hidden"],
        tokens: Tokens,
        memories: Sequence[Memory] | None = None,
        between: Between | None = None,
    ) -> tuple[Tensor]:
        """The stream after the last sub-layer, as the only one of a tuple; the rest as in `ReversibleSequence`."""
        if memories is not None:
            with torch.no_grad():
                for sublayer, memory in zip(cast(list[SubLayer], self.sublayers), memories, strict=True):
                    hidden = sublayer(hidden, tokens, Replay(), memory, residual=True)
                    if between is not None:
                        (hidden,) = between.add(hidden)
            return (hidden,)
        sublayers = cast(list[SubLayer], list(self.sublayers))
        if self.training and self.drop is not None:
            check_whole(between)
            sublayers = self.drop(sublayers)
        process = None if tokens.part is None else tokens.part.process
        again = replays(sublayers, training=self.training, process=process)
        parts = list(zip(sublayers, again, strict=True))
        if between is not None:
            for part in parts:
                hidden = _run([part], hidden, tokens)
                (hidden,) = between.add(hidden)
            return (hidden,)
        if not (torch.is_grad_enabled() and is_run_again(self.recompute, hidden, sublayers, tokens)):
            return (_run(parts, hidden, tokens),)
        frozen = frozen_bottom([hidden], tokens, sublayers)
        with torch.no_grad():
            hidden = _run(parts[:frozen], hidden, tokens) if frozen else hidden
        parts, sublayers = parts[frozen:], sublayers[frozen:]
        if not parts:
            return (hidden,)
        check_replayable(sublayers)
        seen = None if tokens.source is None else tokens.source.hidden
        tokens = tokens if seen is None else tokens.seeing(seen.detach())
        trained = Trained(sublayers)
        return (_RunAgain.apply(hidden, seen, (parts, tokens, trained), *trained.parameters),)  # pyright: ignore


def _run(parts: Sequence[Part], hidden: Tensor, tokens: Tokens, inputs: Tensor | None = None) -> Tensor:
    """The stream after some sub-layers, whose inputs are put into `inputs`, `[parts, batch, length, hidden]`."""
    for number, (sublayer, replay) in enumerate(parts):
        if inputs is not None:
            inputs[number] = hidden
        hidden = sublayer(hidden, tokens, replay.rewind(), residual=True)
    return hidden


class _RunAgain(torch.autograd.Function):
    """The stack, run without a graph. Inputs that are kept lie beside each other, because between what sub-layers free
    they would keep the C library from giving any of that to the next; a graph's nodes would as well."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, seen: Tensor | None, stack: tuple, *parameters: Tensor) -> Tensor:
        parts, tokens, trained = stack
        # On all processes that hold parts of the same rows the groups must be the same.
        kept_bytes = len(parts) * hidden.shape[0] * tokens.longest_part * hidden.shape[2] * hidden.element_size()
        size = 1 if kept_bytes <= KEPT_BYTES else math.isqrt(len(parts))
        groups = [parts[first : first + size] for first in range(0, len(parts), size)]
        ctx.stack, ctx.autocast = (groups, tokens, trained), autocast_now(hidden.device)
        kept = hidden.new_empty(len(groups), *hidden.shape)
        for number, group in enumerate(groups):
            kept[number] = hidden
            hidden = _run(group, hidden, tokens)
        ctx.save_for_backward(kept)
        return hidden

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        groups, tokens, trained = ctx.stack
        (kept,) = ctx.saved_tensors
        gradients = Gradients(trained, ctx.needs_input_grad[3:])
        seen: list[Tensor] = []
        if ctx.needs_input_grad[1]:
            # Each sub-layer returns a gradient for the source as for a parameter.
            seen = [tokens.source.hidden.detach().requires_grad_()]
            tokens = tokens.seeing(seen[0])
        size = len(groups[0])
        within = kept.new_empty(size, *kept.shape[1:]) if size > 1 else None
        for group, given in zip(reversed(groups), reversed(kept), strict=True):
            inputs = given[None]
            if within is not None:
                inputs = within[: len(group)]
                with torch.no_grad(), torch.autocast(**ctx.autocast):
                    inputs[-1] = _run(group[:-1], given, tokens, inputs)
            for (sublayer, replay), each in zip(reversed(group), reversed(inputs), strict=True):
                wanted = gradients.wanted(sublayer) + seen
                with torch.autocast(**ctx.autocast):
                    if sublayer in trained.sharded:
                        of_input, _ = sharded_pullback(sublayer, each, tokens, replay, gradient, residual=True)
                        found = [None] * len(wanted)
                    else:
                        of_input, found = sublayer.residual_pullback(each, tokens, replay, gradient, wanted)
                gradients.add(wanted, found)
                gradient = torch.zeros_like(gradient) if of_input is None else of_input
                del found, of_input
        of_seen = gradients.of(seen[0]) if seen else None
        return gradient if ctx.needs_input_grad[0] else None, of_seen, None, *gradients.of_all()
