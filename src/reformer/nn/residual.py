"""Residual stack on one stream: the plain Transformer, which keeps every input for the backward pass."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reformer.nn.layer_drop import LayerDrop
from reformer.nn.memory import Memory
from reformer.nn.replay import Replay, replays
from reformer.nn.tokens import Tokens


class ResidualSequence(nn.Module):
    """Runs `x -> x + f(x)` for each sub-layer `f` in turn (`docs/math.md`, 23).

    The baseline that `ReversibleSequence` is measured against: its input cannot be found again from its output, so
    training memory grows with the number of sub-layers. Source: Vaswani et al. 2017, with the norm before each
    sub-layer.

    Args:
        sublayers: modules called as `f(hidden, tokens, replay, memory)`.
        drop: which of them a training pass leaves out; None for none.
    """

    def __init__(self, sublayers: Iterable[nn.Module], drop: LayerDrop | None = None) -> None:
        super().__init__()
        self.sublayers = nn.ModuleList(sublayers)
        self.drop = drop

    @property
    def memory_count(self) -> int:
        """How many memories a forward pass in pieces takes."""
        return len(self.sublayers)

    def forward(
        self,
        hidden: Float[Tensor, "batch length hidden"],
        tokens: Tokens,
        memories: Sequence[Memory] | None = None,
    ) -> tuple[Tensor]:
        """The stream after the last sub-layer, as the only one of a tuple; memories as in `ReversibleSequence`."""
        if memories is not None:
            with torch.no_grad():
                for sublayer, memory in zip(self.sublayers, memories, strict=True):
                    hidden = hidden + sublayer(hidden, tokens, Replay(), memory)
            return (hidden,)
        sublayers = self.drop(list(self.sublayers)) if self.training and self.drop is not None else list(self.sublayers)
        for sublayer, replay in zip(sublayers, replays(sublayers, training=self.training), strict=True):
            hidden = hidden + sublayer(hidden, tokens, replay)
        return (hidden,)
