"""LayerDrop: whole layers left out of a training step at random."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import nn

from reformer.ops.draws import generator

AnyModule = TypeVar("AnyModule", bound=nn.Module)


class LayerDrop:
    """Leaves each layer out with one probability: its sub-layers are not run, so it is the identity for every stream,
    forward and when the backward pass recomputes what was run. It has no gradient in that step.

    Nothing is scaled (`docs/math.md`, equation 47): a model without some of its layers is what is learned, and what
    trimming leaves. Source: Fan, Grave and Joulin 2020 (LayerDrop).

    Args:
        probability: of each layer, drawn at each pass.
        each: how many sub-layers, one after the other, are a layer.
    """

    def __init__(self, probability: float, each: int) -> None:
        self.probability, self.each = probability, each
        self.generator: torch.Generator | None = None
        """What is drawn from; None: the global generator, or that of the thread. Of several processes that average
        their gradients all must leave out the same layers, and so draw from generators of one seed."""

    def __call__(self, sublayers: Sequence[AnyModule]) -> list[AnyModule]:
        """The sub-layers that are run this time."""
        chances = torch.rand(len(sublayers) // self.each, generator=self.generator or generator(), device="cpu")
        stays = (chances >= self.probability).tolist()
        return [sublayer for number, sublayer in enumerate(sublayers) if stays[number // self.each]]
