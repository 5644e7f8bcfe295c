"""Tokens of one forward pass, for all layers: mask, positions, and the number of hash rounds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from reformer.nn.positions import RotaryWaves
from reformer.nn.sequence_part import SequencePart
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
    rotary: Mapping[str, RotaryWaves] | None = None
    """Cosines and sines of the positions for each kind of attention, where they are rotary."""
    global_slots: tuple[Int[Tensor, "batch 1 1 length"], Int[Tensor, "batch 1 1 length"]] | None = None
    """Slots of queries and of keys in the ordering of the tokens that all see, where there are any."""
    time: Waves | None = None
    """Sines and cosines of the time bias of each head, where there is one; see `time_waves`."""
    rounds: int | None = None
    """The number of hash rounds in this pass; None: as many as a layer was made with."""
    source: "Source | None" = None
    """The sequence that cross attention looks at."""
    positioned: "Callable[[Tokens], Tokens] | None" = None
    """Adds what follows from the positions to other tokens, for layers that shorten the sequence."""
    part: SequencePart | None = None
    """The way to the rest of the rows, where other processes hold it."""
    rows: "Tokens | None" = None
    """All tokens of those rows: which are real, and their slots."""

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
    def whole(self) -> "Tokens":
        """The tokens of whole rows: these, or where they are a part of each, `rows`."""
        return self if self.rows is None else self.rows

    @property
    def longest_part(self) -> int:
        """How many tokens a row has on the process that holds the most of it: the same number on all, on which those
        decisions depend that all must make alike."""
        return self.mask.shape[1] if self.part is None else max(self.part.lengths)

    @property
    def positions(self) -> Int[Tensor, "batch length"]:
        """The index of every token among the real ones; 0 for padding."""
        return self.slots[:, 0, 0].clamp_min(0)

    def sliced(self, places: slice) -> "Tokens":
        """Some neighbouring tokens, for what looks at each token alone."""
        waves = self.rotary
        if waves is not None:
            waves = {kind: (cosine[:, :, places], sine[:, :, places]) for kind, (cosine, sine) in waves.items()}
        of_all = dict.fromkeys(("global_slots", "time", "source", "positioned", "part", "rows"))
        return replace(self, mask=self.mask[:, places], slots=self.slots[..., places], rotary=waves, **of_all)

    def with_global(self, places: Sequence[int], causal: bool) -> "Tokens":
        """The same tokens with the ordering of those that all see (`docs/math.md`, equation 49).

        In it the `k`-th of these keys has slot `k` and every other key is absent. Each query stands where it sees all
        of them; a causal one where it sees those up to itself.

        Args:
            places: indices among the real tokens; counted from the end where negative, as only both-sided attention
                can see.
        """
        places = sorted(places) if causal else places
        positions, slots = self.slots[:, 0, 0], torch.full_like(self.slots[:, 0, 0], -1)
        lengths = self.mask.sum(-1, keepdim=True)
        for slot, place in enumerate(places):
            slots = slots.masked_fill(self.mask & (positions == (place if place >= 0 else lengths + place)), slot)
        if causal:
            queries = sum(((positions >= place).long() for place in places), torch.full_like(positions, -1))
        else:
            queries = torch.zeros_like(positions)
        queries = queries.masked_fill(~self.mask, -1)
        return replace(self, global_slots=(queries[:, None, None], slots[:, None, None]))

    def by_position(self, local: bool, seen_by_all: bool) -> tuple[Tensor, Tensor]:
        """Slots of queries and of keys, `[batch, 1, orderings, length]`, in the position ordering and in that of
        `global_slots`; one tensor where both are equal."""
        if not seen_by_all:
            return self.slots, self.slots
        if self.global_slots is None:
            raise ValueError("tokens that all see, without their slots; give Tokens their `global_slots`")
        queries, keys = (torch.cat((self.slots, slots), 2) if local else slots for slots in self.global_slots)
        return queries, keys

    def slots_around(self, before: int, after: int) -> Int[Tensor, "batch 1 1 around"]:
        """Position slots of the tokens of a part, and of so many that stand in other parts before and after it."""
        assert self.part is not None
        begin = sum(self.part.lengths[: self.part.process])
        padded = torch.nn.functional.pad(self.whole.slots, (before, after), value=-1)
        return padded[..., begin : begin + before + self.mask.shape[1] + after]

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
