"""Residual stack on one stream: the plain Transformer, which keeps every sub-layer's input for the backward pass."""

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from reformer.nn.layer_drop import LayerDrop
from reformer.nn.memory import Memory
from reformer.nn.replay import Replay, replays
from reformer.nn.reversible import check_replayable
from reformer.nn.sublayer import SubLayer
from reformer.nn.tokens import Tokens


class ResidualSequence(nn.Module):
    """Runs `x -> x + f(x)` for each sub-layer `f` in turn (`docs/math.md`, 23), or `x -> norm(x) + f(x)`.

    Its input cannot be found again from its output, so training memory grows with the number of sub-layers: by all that
    they compute, or with `recompute` by one vector a token and sub-layer, which the backward pass runs again from there
    (PyTorch's checkpointing). Both give the same gradients, dropout included. Source: Vaswani et al. 2017.

    Args:
        sublayers: what is added to the stream, or with `norm_skip` to the normed stream.
        drop: which of them a training pass leaves out; None for none.
        recompute: run each sub-layer again instead of keeping what it computes.
    """

    def __init__(self, sublayers: Iterable[SubLayer], drop: LayerDrop | None = None, recompute: bool = False) -> None:
        super().__init__()
        self.sublayers = nn.ModuleList(sublayers)
        self.drop, self.recompute = drop, recompute

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
                for sublayer, memory in zip(cast(list[SubLayer], self.sublayers), memories, strict=True):
                    hidden = sublayer.residual(hidden, tokens, Replay(), memory)
            return (hidden,)
        sublayers = cast(list[SubLayer], list(self.sublayers))
        if self.training and self.drop is not None:
            sublayers = self.drop(sublayers)
        again = self.recompute and torch.is_grad_enabled()
        if again:
            check_replayable(sublayers)
        for sublayer, replay in zip(sublayers, replays(sublayers, training=self.training), strict=True):
            if again:
                hidden = _checkpointed(sublayer, hidden, tokens, replay)
            else:
                hidden = sublayer.residual(hidden, tokens, replay)
        return (hidden,)


def _checkpointed(sublayer: SubLayer, hidden: Tensor, tokens: Tokens, replay: Replay) -> Tensor:
    def run(given: Tensor) -> Tensor:
        return sublayer.residual(given, tokens, replay.rewind())

    # The replay draws dropout again, and buckets are kept: the global random state is neither kept nor set.
    return checkpoint(run, hidden, use_reentrant=False, preserve_rng_state=False)  # pyright: ignore[reportReturnType]
