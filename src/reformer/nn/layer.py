"""Base classes of layers: the functions of sub-layers, and what initialisation, pruning and widening ask of them."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reformer.nn.channels import StreamChannels
from reformer.nn.memory import Memory
from reformer.nn.replay import Replay
from reformer.nn.sequence_part import NeedsWholeRows
from reformer.nn.tokens import Tokens


class Layer(nn.Module, NeedsWholeRows):
    """Base class of the functions of sub-layers: a normalised stream in, what is added to the stream out.

    A layer that computes what it does in whole rows from a part of each, with `Tokens.part`, says so in `why_whole`.
    """

    stream_channels: ClassVar[StreamChannels] = {}
    """Of its own parameters; a layer that leaves one out that reads or writes the stream cannot be widened."""

    def forward(
        self, hidden: Float[Tensor, "batch length hidden"], tokens: Tokens, replay: Replay, memory: Memory | None = None
    ) -> Float[Tensor, "batch length hidden"]:
        """The output for every token.

        Args:
            hidden: the input, normalised.
            tokens: which tokens are real, and where they stand.
            replay: draws and decisions that the reversible backward pass repeats.
            memory: what the layer carries from piece to piece, where a sequence is read in pieces.
        """
        raise NotImplementedError

    def reset_learned(self) -> None:
        """Initialise the parameters and buffers that are not those of a linear map or a norm."""

    @property
    def output_maps(self) -> Sequence[nn.Module]:
        """The linear maps that write to the stream."""
        raise NotImplementedError

    @property
    def head_groups(self) -> Sequence["HeadLayer"]:
        """The parts that have heads, one for each group of heads that are alike; none where nothing has heads."""
        return ()


class HeadLayer(Layer):
    """Base class of layers whose weights are divided into heads, any of which may be pruned."""

    @property
    def head_groups(self) -> Sequence["HeadLayer"]:
        return (self,)

    def state_of_heads(self, heads: Sequence[int]) -> dict[str, Tensor]:
        """The state dict of a layer that has some of these heads alone.

        Args:
            heads: their places in this layer, rising; heads that share keys together or not at all.
        """
        raise NotImplementedError

    def output_columns(self, first: int, count: int) -> Float[Tensor, "hidden columns"]:
        """The weights that `count` neighbouring heads from `first` on write to the stream with, as a view."""
        raise NotImplementedError


def cast_once(hidden: Float[Tensor, "batch length hidden"]) -> Float[Tensor, "batch length hidden"]:
    """The input of several projections in autocast's type: cast by each of them, it would be kept once for each."""
    device = hidden.device.type
    return hidden.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else hidden
