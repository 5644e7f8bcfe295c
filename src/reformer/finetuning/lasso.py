"""Group lasso over heads and layers: the weights of those that are not needed go to exactly zero, and can be pruned."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from reformer.finetuning.errors import FinetuningError
from reformer.finetuning.layers import backbone, layers
from reformer.finetuning.prune_heads import heads_of, layer_head_groups


class GroupLasso:
    """Group lasso: a proximal step that shrinks the output weights of each head, or of each layer, by one factor.

    After an optimizer step of rate `r`, a group of `n` weights `w` becomes `w max(0, 1 - r strength sqrt(n) / |w|)`
    (`docs/math.md`, equation 46), heads first and then the layers that they are in: the proximal step of the two
    penalties together. As with AdamW's weight decay, it is taken beside the gradient's step and not scaled by what the
    optimizer has seen. Source: Yuan and Lin 2006; of nested groups, Jenatton et al. 2011.

    Args:
        model: whose weights; frozen ones are left alone.
        heads: how strongly each head is shrunk, by the columns of its output projection; 0 for not at all.
        layers: how strongly each layer is, by all that its sub-layers write with, biases included; 0 for not at all.

    Raises:
        FinetuningError: layers that share their weights, which pruning could not take out.
    """

    def __init__(self, model: PreTrainedModel, *, heads: float = 0.0, layers: float = 0.0) -> None:
        config = backbone(model).config
        if config.num_distinct_layers is not None:
            raise FinetuningError(
                f"num_distinct_layers={config.num_distinct_layers}: what layers share cannot be taken out of one of "
                "them; shrink before sharing"
            )
        self._model, self._heads, self._layers = model, heads, layers

    @torch.no_grad()
    def shrink(self, rate: float) -> None:
        """Take one step, after an optimizer step of this rate."""
        if self._heads:
            for of_layer in self._head_groups():
                for group in of_layer.values():
                    _shrink(group, rate * self._heads)
        if self._layers:
            for group in self._layer_groups():
                _shrink(group, rate * self._layers)

    @torch.no_grad()
    def zeros(self) -> dict[str, list]:
        """Groups that are exactly zero: `heads` as pairs of layer and head, `layers` by their numbers."""
        heads = [
            [number, head]
            for number, of_layer in enumerate(self._head_groups())
            for unit, group in of_layer.items()
            if not any(weight.any() for weight in group)
            for head in unit
        ]
        layers = [
            number
            for number, group in enumerate(self._layer_groups())
            if group and not any(weight.any() for weight in group)
        ]
        return {"heads": heads, "layers": layers}

    def _head_groups(self) -> list[dict[tuple[int, ...], list[Tensor]]]:
        """For each layer, by the heads that share keys, their columns of the output projection."""
        together = backbone(self._model).config.heads_sharing_keys
        found: list[dict[tuple[int, ...], list[Tensor]]] = []
        for number, had in enumerate(heads_of(self._model)):
            of_layer: dict[tuple[int, ...], list[Tensor]] = {}
            for group, part in layer_head_groups(self._model, number) if had else []:
                for place in range(0, len(group.heads), together):
                    columns = part.output_columns(place, together)
                    of_layer[group.heads[place : place + together]] = [columns] if _learns(part.output_maps) else []
            found.append({unit: group for unit, group in of_layer.items() if group})
        return found

    def _layer_groups(self) -> list[list[Tensor]]:
        """For each layer, the trained parameters of the maps that write to the stream."""
        return [
            [
                parameter
                for sublayer in sublayers
                for written in sublayer.output_maps
                for parameter in written.parameters()
                if parameter.requires_grad
            ]
            for sublayers in layers(self._model)
        ]


def _learns(modules: Sequence[nn.Module]) -> bool:
    return all(parameter.requires_grad for module in modules for parameter in module.parameters())


def _shrink(group: Sequence[Tensor], step: float) -> None:
    count = sum(weight.numel() for weight in group)
    norm = float(torch.stack([weight.norm() for weight in group]).norm()) if group else 0.0
    if norm:
        factor = max(0.0, 1.0 - step * count**0.5 / norm)
        for weight in group:
            weight.mul_(factor)
