"""Sub-layers run a part of the tokens at a time, attention wherever it looks at each token alone.

Of a long sequence only the projected vectors are held whole, for the tokens to see each other. Normed streams, float32
projections, joined heads and outputs are held for a part, in the processor's caches and not in fresh memory.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import grad
from torch.autograd.graph import get_gradient_edge

from reformer.nn.attention import Attention, Projected
from reformer.nn.replay import Replay
from reformer.nn.tokens import Tokens
from reformer.ops import reuse, standard
from reformer.ops.orderings import Rotations

PART_BYTES = 4 << 20
"""What a part of the stream takes, about: it fits into caches, and is enough for matrix products to be fast."""

WHOLE_BYTES = 32 << 20
"""A stream that takes no more is run whole: the GNU C library takes larger tensors from the system at each use."""

TOKEN_DIMS = {"query": 2, "key": 2, "value": 2, "gate": 1}
"""The dimension of each projected tensor that runs over the tokens."""

Take = Callable[[slice, Tensor], object]
"""Given what a sub-layer makes of each part of the tokens."""


def parts_of(hidden: Float[Tensor, "batch length hidden"]) -> list[slice] | None:
    """The parts of a long stream on a CPU; None where it is to be run whole, as in a graph that is traced."""
    if torch.compiler.is_compiling() or standard.is_traced() or hidden.device.type != "cpu":
        return None
    if hidden.nbytes <= WHOLE_BYTES:
        return None
    length = hidden.shape[1]
    return slices(length, max(1, PART_BYTES * length // hidden.nbytes))


def slices(length: int, size: int) -> list[slice]:
    """So many tokens, in parts of this size; the last may be smaller."""
    return [slice(begin, min(begin + size, length)) for begin in range(0, length, size)]


def is_called_plainly(module: nn.Module) -> bool:
    """Whether a call of the module is one of its class's `forward`, without hooks around it."""
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return "forward" not in vars(module) and not any(hooks)


class Sums:
    """Sums of the gradients that the parts of the tokens have found for some parameters."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.found: list[Tensor | None] = [None] * len(parameters)

    def add(self, gradients: Sequence[Tensor | None]) -> None:
        for index, gradient in enumerate(gradients):
            earlier = self.found[index]
            if gradient is not None:
                self.found[index] = gradient if earlier is None else earlier.add_(gradient)


@dataclass
class TokensByParts:
    """One pass over a stream of what looks at each token alone.

    Args:
        function: makes one tensor or several of a part of the stream.
        parts: see `slices`.
    """

    function: Callable[[Tensor], Sequence[Tensor]]
    parts: Sequence[slice]

    @torch.no_grad()
    def run(self, hidden: Float[Tensor, "batch length hidden"], take: Take) -> None:
        """Run it without a graph; `take` is given the first tensor that it makes of each part."""
        for part in self.parts:
            take(part, self.function(hidden[:, part])[0])

    def pull(
        self,
        hidden: Float[Tensor, "batch length hidden"],
        grad_output: Float[Tensor, "batch length hidden"],
        parameters: Sequence[Tensor],
        grad_hidden: Float[Tensor, "batch length hidden"],
        take: Take | None = None,
    ) -> list[Tensor | None]:
        """Run it again, and find the gradients of some parameters; the input's is added to `grad_hidden`."""
        return self.pull_all(hidden, [grad_output], parameters, grad_hidden, take)

    def pull_all(
        self,
        hidden: Float[Tensor, "batch length hidden"],
        ends: Sequence[Float[Tensor, "batch length _"]],
        parameters: Sequence[Tensor],
        grad_hidden: Float[Tensor, "batch length hidden"],
        take: Take | None = None,
    ) -> list[Tensor | None]:
        """`pull`, with a gradient of each tensor that it makes."""
        sums = Sums(parameters)
        for part in self.parts:
            with torch.enable_grad():
                given = hidden[:, part].detach().requires_grad_()
                outputs = self.function(given)
                found = grad(outputs, [given, *parameters], [end[:, part] for end in ends], allow_unused=True)
            if take is not None:
                take(part, outputs[0].detach())
            del outputs
            if found[0] is not None:
                grad_hidden[:, part] += found[0]
            sums.add(found[1:])
        return sums.found


@dataclass
class AttentionByParts:
    """One pass of an attention over a stream.

    Args:
        attention: one whose `projects_tokens_alone` is true.
        before: the norm.
        behind: what is applied to the attention's output, to each token alone.
        tokens: all of them.
        replay: of the pass.
        parts: see `parts_of`.
    """

    attention: Attention
    before: Callable[[Tensor], Tensor]
    behind: Callable[[Tensor], Tensor]
    tokens: Tokens
    replay: Replay
    parts: Sequence[slice]

    @torch.no_grad()
    def run(self, hidden: Float[Tensor, "batch length hidden"], take: Take) -> None:
        """Run it without a graph; `take` is given what it makes of each part."""
        rotations = self.attention.rotations(self.tokens, self.replay, hidden.device)
        projected = self._project(hidden, rotations)
        attended, gate = self.attention.attend(projected, self.tokens, self.replay), projected.gate
        # Nothing needs any more what was attended.
        del projected
        for part in self.parts:
            merged = self.attention.merge(attended[:, :, part], None if gate is None else gate[:, part])
            take(part, self.behind(merged))

    def pull(
        self,
        hidden: Float[Tensor, "batch length hidden"],
        grad_output: Float[Tensor, "batch length hidden"],
        parameters: Sequence[Tensor],
        grad_hidden: Float[Tensor, "batch length hidden"],
        take: Take,
    ) -> list[Tensor | None]:
        """Run it again, and find the gradients of some parameters; the input's is added to `grad_hidden`.

        Args:
            grad_output: of what `take` is given.
        """
        sums = Sums(parameters)
        with torch.no_grad():
            projected = self._project(hidden, None)
        names = [name for name in TOKEN_DIMS if getattr(projected, name) is not None]
        of_projected = self._pull_attended(projected, names, grad_output, sums, parameters, take)
        del projected
        for part in self.parts:
            with torch.enable_grad():
                given = hidden[:, part].detach().requires_grad_()
                made = self.attention.project(self.before(given), self.tokens.sliced(part), None)
                outputs = [cast(Tensor, getattr(made, name)) for name in names]
                ends = [_part(each, part, name) for each, name in zip(of_projected, names, strict=True)]
                found = grad(outputs, [given, *parameters], ends, allow_unused=True)
            grad_hidden[:, part] += found[0]
            sums.add(found[1:])
        return sums.found

    def _pull_attended(
        self,
        projected: Projected,
        names: Sequence[str],
        grad_output: Tensor,
        sums: Sums,
        parameters: Sequence[Tensor],
        take: Take,
    ) -> list[Tensor]:
        """The gradients of the projected tensors of these names."""
        leaves = {name: getattr(projected, name).requires_grad_() for name in names}
        gate = leaves.pop("gate", None)
        of_gate = None if gate is None else torch.empty_like(gate)
        with torch.enable_grad():
            attended = self.attention.attend(projected, self.tokens, self.replay)
        values, of_values = attended.detach(), reuse.empty_like(attended)
        for part in self.parts:
            with torch.enable_grad():
                given = values[:, :, part].detach().requires_grad_()
                gates = None if gate is None else gate[:, part].detach().requires_grad_()
                output = self.behind(self.attention.merge(given, gates))
                inputs = [given] if gates is None else [given, gates]
                found = grad([output], [*inputs, *parameters], [grad_output[:, part]], allow_unused=True)
            of_values[:, :, part] = found[0]
            if of_gate is not None:
                of_gate[:, part] = found[1]
            sums.add(found[len(inputs) :])
            take(part, output.detach())
        edge = get_gradient_edge(attended)
        del attended, values
        found = grad([edge], [*leaves.values(), *parameters], [of_values], allow_unused=True)
        sums.add(found[len(leaves) :])
        of_leaves = [cast(Tensor, each) for each in found[: len(leaves)]]
        return of_leaves if of_gate is None else [*of_leaves, of_gate]

    def _project(self, hidden: Tensor, rotations: Rotations | None) -> Projected:
        """The projected tensors of all tokens, side by side in memory as a token's heads are."""
        whole: dict[str, Tensor] = {}
        buckets: list[Tensor] = []
        for part in self.parts:
            made = self.attention.project(self.before(hidden[:, part]), self.tokens.sliced(part), rotations)
            for name, dim in TOKEN_DIMS.items():
                each = getattr(made, name)
                if each is None:
                    continue
                if name not in whole:
                    by_token = each.transpose(1, dim)
                    shape = (by_token.shape[0], hidden.shape[1], *by_token.shape[2:])
                    whole[name] = reuse.new_empty(each, shape).transpose(1, dim)
                _part(whole[name], part, name).copy_(each)
            if made.buckets is not None:
                buckets.append(made.buckets)
        joined = torch.cat(buckets, -1) if buckets else None
        return Projected(whole["query"], whole.get("key"), whole["value"], whole.get("gate"), joined)


def _part(tensor: Tensor, part: slice, name: str) -> Tensor:
    """Some of the tokens of a projected tensor."""
    return tensor.narrow(TOKEN_DIMS[name], part.start, part.stop - part.start)
