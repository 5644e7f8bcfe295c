"""Tokens of one forward pass, for all layers: mask, positions, and the number of hash rounds."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from reformer.nn.time_bias import Waves
from reformer.ops import position_slots


@dataclass(frozen=True)
class Tokens:
    """Mask and positions of the tokens, the same for all layers of one pass."""

    mask: Bool[Tensor, "batch length"]
    """True for a real token."""
    padded: bool
    """Whether any token may be padding: False lets layers take the way without a mask."""
    slots: Int[Tensor, "batch 1 1 length"]
    """The position ordering."""
    rotary: tuple[Float[Tensor, "batch 1 length half"], Float[Tensor, "batch 1 length half"]] | None = None
    """Cosines and sines of the positions, where they are rotary."""
    time: Waves | None = None
    """Sines and cosines of the time bias of each head, where there is one; see `time_waves`."""
    rounds: int | None = None
    """The number of hash rounds in this pass; None: as many as a layer was made with."""
    source: "Source | None" = None
    """The sequence that cross attention looks at."""
    positioned: "Callable[[Tokens], Tokens] | None" = None
    """Adds rotary and time waves to other tokens, for layers that shorten the sequence."""

    @classmethod
    def of(
        cls, mask: Bool[Tensor, "batch length"], padded: bool = True, earlier: Int[Tensor, " batch"] | None = None
    ) -> "Tokens":
        """Tokens under a mask; `earlier` says how many real ones came before, where a sequence is read in pieces."""
        slots = position_slots(mask)
        if earlier is not None:
            slots = torch.where(slots >= 0, slots + earlier[:, None, None, None], -1)
        return cls(mask, padded, slots)

    @property
    def positions(self) -> Int[Tensor, "batch length"]:
        """The index of every token among the real ones; 0 for padding."""
        return self.slots[:, 0, 0].clamp_min(0)

    def seeing(self, hidden: Float[Tensor, "batch source width"]) -> "Tokens":
        """The same tokens, the source's vectors being these."""
        if self.source is None:
            raise ValueError("there is no source whose vectors could be replaced")
        return replace(self, source=replace(self.source, hidden=hidden))


@dataclass(frozen=True)
class Source:
    """Source of cross attention: the encoder's output."""

    hidden: Float[Tensor, "batch source width"]
    tokens: Tokens
    """Which of its tokens are real, and where they stand in it."""
