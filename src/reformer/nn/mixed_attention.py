"""Attention whose heads are of several kinds, as the sum of one attention for each kind."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor, nn

from reformer.nn.attention import Attention
from reformer.nn.layer import HeadLayer, Layer
from reformer.nn.memory import Memory
from reformer.nn.replay import Replay
from reformer.nn.tokens import Tokens


class MixedAttention(Layer):
    """Groups of heads that differ in kind or in window, each an `Attention` of its own.

    To join all heads and project them is to project the heads of each group and add up, so a layer of several kinds
    needs nothing that its groups do not have: each has its projections, its hash rounds and its one call of the op.

    Args:
        groups: one attention for each group, all of one hidden size.
    """

    def __init__(self, groups: Iterable[Attention]) -> None:
        super().__init__()
        self.groups = nn.ModuleList(groups)

    def why_whole(self) -> None:
        """None: each group says for itself whether it must have whole rows."""

    @property
    def head_groups(self) -> Sequence[HeadLayer]:
        return [group for group in self.groups if isinstance(group, HeadLayer)]

    @property
    def output_maps(self) -> Sequence[nn.Module]:
        return [written for group in self.head_groups for written in group.output_maps]

    def forward(
        self, hidden: Float[Tensor, "batch length hidden"], tokens: Tokens, replay: Replay, memory: Memory | None = None
    ) -> Float[Tensor, "batch length hidden"]:
        total, first = hidden.new_zeros(()), 0
        for name, group in self.groups.named_children():
            if tokens.part is not None and isinstance(group, Attention):
                tokens = replace(tokens, part=tokens.part.beginning_with(first))
                first += group.heads
            total = total + group(hidden, tokens, replay.part(name), None if memory is None else memory.part(name))
        return total
