"""Reversible stack on two residual streams, whose inputs the backward pass recomputes (`docs/math.md`, 20)."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

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
from reformer.nn.tokens import Tokens
from reformer.ops.reuse import reused

Streams = tuple[Tensor, Tensor]


class ReversibleSequence(nn.Module, NeedsWholeRows):
    """Runs `(x1, x2) -> (x2, x1 + f(x2))` for each sub-layer `f` in turn.

    Training memory does not grow with the number of sub-layers: the backward pass finds each input again from the
    output, `x1 = y2 - f(y1)`, and ends at the lowest sub-layer that is trained. With `reversible=False` the same
    function is differentiated as usual, with "auto" as well where that keeps little, up to
    `recomputation.COMPUTED_BYTES`, which saves a forward pass. All give the same gradients up to rounding, dropout
    included. Source: Kitaev et al. 2020, section 3, after Gomez et al. 2017.

    Args:
        sublayers: modules called as `f(hidden, tokens, replay, memory)`, each a function of these alone.
        reversible: recompute instead of keeping; "auto" where that is much.
        drop: which of them a training pass leaves out; None for none.
    """

    def __init__(
        self, sublayers: Iterable[nn.Module], reversible: Recompute = True, drop: LayerDrop | None = None
    ) -> None:
        super().__init__()
        self.sublayers = nn.ModuleList(sublayers)
        self.reversible: Recompute = reversible
        self.drop = drop

    def why_whole(self) -> str | None:
        return why_whole([part for sublayer in self.sublayers for part in sublayer.modules()])

    @property
    def memory_count(self) -> int:
        """How many memories a forward pass in pieces takes."""
        return len(self.sublayers)

    def forward(
        self,
        first: Float[Tensor, "batch length hidden"],
        second: Float[Tensor, "batch length hidden"],
        tokens: Tokens,
        memories: Sequence[Memory] | None = None,
        between: Between | None = None,
    ) -> Streams:
        """Both streams after the last sub-layer, each `[batch, length, hidden]`.

        With `memories`, one a sub-layer, the sequence goes on from where they are, and no gradient is kept. The
        vectors of `tokens.source` get one gradient, the sum of what every sub-layer that looks at them has to say. With
        `between` the streams after each layer go there, and are kept.
        """
        sublayers = list(self.sublayers)
        if memories is not None:
            with torch.no_grad():
                for sublayer, memory in zip(sublayers, memories, strict=True):
                    first, second = second, first + sublayer(second, tokens, Replay(), memory)
                    if between is not None:
                        first, second = between.add(first, second)
            return first, second
        if self.training and self.drop is not None:
            check_whole(between)
            sublayers = self.drop(sublayers)
        if not sublayers:
            return first, second
        process = None if tokens.part is None else tokens.part.process
        again = replays(sublayers, training=self.training, process=process)
        if between is not None:
            return _run(first, second, sublayers, tokens, again, between)
        frozen = frozen_bottom((first, second), tokens, sublayers)
        if frozen:
            # Frozen sub-layers need no gradient, so the backward pass ends above them and does not run them again.
            with torch.no_grad():
                first, second = _run(first, second, sublayers[:frozen], tokens, again[:frozen])
            sublayers, again = sublayers[frozen:], again[frozen:]
        trained = Trained(sublayers)
        seen = None if tokens.source is None else tokens.source.hidden
        needed = any(each.requires_grad for each in (first, second, seen, *trained.parameters) if each is not None)
        if needed and torch.is_grad_enabled() and is_run_again(self.reversible, first, sublayers, tokens):
            check_replayable(sublayers)
            tokens = tokens if seen is None else tokens.seeing(seen.detach())
            given: list[Tensor] = []
            stack = (sublayers, tokens, again, given, trained)
            first, second = _Recomputed.apply(first, second, seen, stack, *trained.parameters)  # pyright: ignore
            return _HandedOver.apply(given, first, second)  # pyright: ignore
        return _run(first, second, sublayers, tokens, again)


def _run(
    first: Tensor,
    second: Tensor,
    sublayers: Sequence[nn.Module],
    tokens: Tokens,
    again: list[Replay],
    between: Between | None = None,
) -> Streams:
    for sublayer, replay in zip(sublayers, again, strict=True):
        first, second = second, first + sublayer(second, tokens, replay)
        if between is not None:
            first, second = between.add(first, second)
    return first, second


def _run_in_place(
    first: Tensor, second: Tensor, sublayers: Sequence[nn.Module], tokens: Tokens, again: list[Replay], trained: Trained
) -> Streams:
    """`_run` without a graph, on copies of the streams, which each sub-layer is added to."""
    first, second = first.clone(), second.clone()
    with reused():
        for sublayer, replay in zip(sublayers, again, strict=True):
            add_to = None if sublayer in trained.sharded else getattr(sublayer, "add_to", None)
            if add_to is None:
                first.add_(sublayer(second, tokens, replay))
            else:
                add_to(first, second, tokens, replay)
            first, second = second, first
    return first, second


def pullback(
    function: Callable[..., Tensor],
    hidden: Tensor,
    tokens: Tokens,
    replay: Replay,
    stream: Tensor,
    grad_output: Tensor,
    parameters: Sequence[Tensor],
    grad_hidden: Tensor,
) -> Sequence[Tensor | None]:
    """Run a sub-layer again, take its output off the stream that it was added to, in place, and find the gradients of
    some of its parameters; that of its input is added to `grad_hidden`, in place.

    A sub-layer that can do it in less memory has a method of this name.
    """
    with torch.enable_grad():
        hidden = hidden.detach().requires_grad_()
        output = function(hidden, tokens, replay.rewind())
    stream.sub_(output.detach())
    # The gradient needs the output's graph and not its values, which are as large as the stream: let them go.
    edge = torch.autograd.graph.get_gradient_edge(output)
    del output
    found = torch.autograd.grad([edge], [hidden, *parameters], [grad_output], allow_unused=True)
    if found[0] is not None:
        grad_hidden.add_(found[0])
    return found[1:]


class _HandedOver(torch.autograd.Function):
    """Hands the streams' gradients over to `_Recomputed`, out of autograd's hands, which would hold what it gives as
    arguments until the whole stack is done: two tensors as long as the sequence."""

    @staticmethod
    def forward(ctx: Any, given: list[Tensor], first: Tensor, second: Tensor) -> Streams:
        ctx.given = given
        return first.view_as(first), second.view_as(second)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # Copies, since they are changed in place. And a view, as of two streams' gradients side by side, would keep all
        # of its base, twice a stream, until the stack is done.
        ctx.given[:] = [each.clone(memory_format=torch.contiguous_format) for each in gradients]
        return None, *(each.new_zeros(()).expand_as(each) for each in gradients)


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, first: Tensor, second: Tensor, seen: Tensor | None, stack: tuple, *parameters: Tensor
    ) -> Streams:
        ctx.stack = stack
        ctx.autocast = autocast_now(first.device)
        sublayers, tokens, again, _, trained = stack
        first, second = _run_in_place(first, second, sublayers, tokens, again, trained)
        ctx.save_for_backward(first, second)
        return first, second

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *stand_ins: Tensor) -> tuple[Tensor | None, ...]:
        sublayers, tokens, again, given, trained = ctx.stack
        grad_second, grad_first = given.pop(), given.pop()
        # Copies, since the streams are changed in place and saved tensors must stay as they are.
        first, second = (stream.clone() for stream in ctx.saved_tensors)
        # The saved streams are as long as the sequence, and unless the graph is kept nothing else needs them.
        ctx.maybe_clear_saved_tensors()
        gradients = Gradients(trained, ctx.needs_input_grad[4:])
        seen: list[Tensor] = []
        if ctx.needs_input_grad[2]:
            # Each sub-layer returns a gradient for the source as for a parameter.
            seen = [tokens.source.hidden.detach().requires_grad_()]
            tokens = tokens.seeing(seen[0])
        with reused():
            for sublayer, replay in zip(reversed(sublayers), reversed(again), strict=True):
                wanted = gradients.wanted(sublayer) + seen
                back = getattr(sublayer, "pullback", None) or partial(pullback, sublayer)
                with torch.autocast(**ctx.autocast):
                    if sublayer in trained.sharded:
                        of_hidden, made = sharded_pullback(sublayer, first, tokens, replay, grad_second)
                        second.sub_(made)
                        if of_hidden is not None:
                            grad_first.add_(of_hidden)
                        found = [None] * len(wanted)
                        del made, of_hidden
                    else:
                        found = back(first, tokens, replay, second, grad_second, wanted, grad_first)
                gradients.add(wanted, found)
                del found
                first, second = second, first
                grad_first, grad_second = grad_second, grad_first
        inputs = [
            grad_first if ctx.needs_input_grad[0] else None,
            grad_second if ctx.needs_input_grad[1] else None,
        ]
        return *inputs, gradients.of(seen[0]) if seen else None, None, *gradients.of_all()
