"""Pruning of attention heads: the heads that are named, or those without which the score falls least."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from reformer.finetuning.errors import FinetuningError
from reformer.finetuning.layers import backbone, layers, rebuilt
from reformer.finetuning.prune import Measure
from reformer.models.configuration.head_groups import NO_HEAD, HeadGroup
from reformer.models.layer_kinds.table import kind_of
from reformer.nn import HeadLayer

Heads = Sequence[Sequence[int]]
"""For each layer, the numbers of heads."""


@dataclass(frozen=True)
class PrunedHeads:
    """A model with fewer heads, and the scores that chose them."""

    model: PreTrainedModel
    kept: tuple[tuple[int, ...], ...]
    """The heads that are left in each layer, by their numbers in the trained model."""
    worth: tuple[tuple[float | None, ...], ...]
    """By layer and head, how much the whole model's score falls when this head alone is skipped; below 0 if the score
    rises. Heads that share keys are pruned together and have one worth; None for heads that a layer cannot lose or does
    not have."""
    score: float
    """The whole model's score."""
    pruned_score: float
    """The smaller model's score, before any further training."""


def heads_of(model: PreTrainedModel) -> tuple[tuple[int, ...], ...]:
    """The numbers of the heads that each layer has; none in a layer that is no attention."""
    config = backbone(model).config
    groups = [
        [group.heads for group in config.head_groups(layer)] if kind_of(layer).has_heads else []
        for layer in config.attention_layers
    ]
    return tuple(tuple(sorted(chain.from_iterable(each))) for each in groups)


@torch.no_grad()
def keep_heads(model: PreTrainedModel, kept: Heads) -> PreTrainedModel:
    """A model whose layers have these heads alone, an ordinary smaller one: `attention_layers` then has a list for each
    layer that lost one, with "none" in its place, and the other heads keep their numbers, windows and time steps.

    Args:
        model: the trained model, which is left as it is.
        kept: for each layer, the rising numbers of the heads that stay; what is no attention has none.

    Raises:
        FinetuningError: other heads than a layer has, none that stays, a part of those that share keys, or layers
            that share their weights.
    """
    there = heads_of(model)
    _check(model, there, kept)
    config = backbone(model).config
    kinds = [
        layer if tuple(left) == had else [_kind(layer, head, left) for head in range(config.num_attention_heads)]
        for layer, had, left in zip(config.attention_layers, there, kept, strict=True)
    ]
    smaller = rebuilt(model, attention_layers=kinds)
    ours = smaller.state_dict()
    for name, weight in model.state_dict().items():
        # Weights of layers that lost heads have other shapes, or other names where a kind of heads is gone.
        if name in ours and ours[name].shape == weight.shape:
            ours[name].copy_(weight)
    for number, (had, left) in enumerate(zip(there, kept, strict=True)):
        if tuple(left) != had:
            _copy_heads(layer_head_groups(model, number), layer_head_groups(smaller, number))
    return smaller


def prune_heads(
    model: PreTrainedModel,
    measure: Measure,
    *,
    count: int | None = None,
    tolerance: float | None = None,
    greater_is_better: bool = True,
) -> PrunedHeads:
    """Prune heads, those first without which alone the score falls least.

    A head's worth is measured once, on the whole model. Source: Michel, Levy and Neubig 2019, with the score itself in
    place of a gradient that stands for it.

    Args:
        model: the trained model, which is left as it is.
        measure: a model's score on data that was held out.
        count: how many heads to keep in each layer that has more.
        tolerance: how far the score may fall below the whole model's, in its own units; without a `count` heads go, the
            next one measured with those before, for as long as it does not. Each layer keeps one.
        greater_is_better: of the score.

    Raises:
        FinetuningError: neither or both of `count` and `tolerance`, a count of less than one or of a part of the heads
            that share keys, or layers that share their weights.
    """
    if (count is None) == (tolerance is None):
        raise FinetuningError("give either how many heads to keep in each layer or by how much the score may fall")
    together = backbone(model).config.heads_sharing_keys
    if count is not None and (count < 1 or count % together):
        raise FinetuningError(f"{count} heads to keep: expected a multiple of {together}, as many as share their keys")
    there = heads_of(model)
    sign = 1.0 if greater_is_better else -1.0
    whole = sign * measure(model)
    units = [(number, head) for number, had in enumerate(there) for head in had if head % together == 0]
    worth = {
        place: whole - sign * measure(keep_heads(model, _without(there, [place], together)))
        for place in units
        if len(there[place[0]]) > together
    }
    gone: list[tuple[int, int]] = []
    chosen, best = model, whole
    for place in sorted(worth, key=worth.__getitem__):
        if len(_without(there, gone, together)[place[0]]) <= (count or together):
            continue
        if tolerance is not None:
            fewer = keep_heads(model, _without(there, [*gone, place], together))
            score = sign * measure(fewer)
            if score < whole - tolerance:
                break
            chosen, best = fewer, score
        gone.append(place)
    kept = _without(there, gone, together)
    if count is not None and gone:
        chosen = keep_heads(model, kept)
        best = sign * measure(chosen)
    every = range(backbone(model).config.num_attention_heads)
    # A head that was pruned before has no worth, though its number lies among those that would share keys.
    told = tuple(tuple(worth.get((number, head - head % together)) for head in every) for number in range(len(there)))
    return PrunedHeads(chosen, kept, told, sign * whole, sign * best)


def _without(there: Heads, gone: Sequence[tuple[int, int]], together: int) -> tuple[tuple[int, ...], ...]:
    return tuple(
        tuple(head for head in had if (number, head - head % together) not in gone) for number, had in enumerate(there)
    )


def _kind(layer: str | Sequence[str], head: int, left: Sequence[int]) -> str:
    if head not in left:
        return NO_HEAD
    return layer if isinstance(layer, str) else layer[head]


def _check(model: PreTrainedModel, there: Heads, kept: Heads) -> None:
    config = backbone(model).config
    if config.num_distinct_layers is not None:
        raise FinetuningError(
            f"num_distinct_layers={config.num_distinct_layers}: heads of layers that share their weights cannot be "
            "taken out one by one; prune before sharing"
        )
    if len(kept) != len(there):
        raise FinetuningError(f"heads to keep in {len(kept)} layers: the model has {len(there)}; give a list for each")
    for number, (had, left) in enumerate(zip(there, kept, strict=True)):
        if list(left) != sorted(set(left)) or not set(left) <= set(had) or (had and not left):
            raise FinetuningError(
                f"heads to keep in layer {number}: {list(left)}; expected rising numbers of {list(had)}"
                + (", at least one" if had else ": this layer is no attention")
            )


def layer_head_groups(model: PreTrainedModel, number: int) -> list[tuple[HeadGroup, HeadLayer]]:
    """The groups of a layer's heads that are alike, and the part of the layer that each group is."""
    config = backbone(model).config
    parts = [part for sublayer in layers(model)[number] for part in sublayer.function.head_groups]
    return list(zip(config.head_groups(config.attention_layers[number]), parts, strict=True))


def _copy_heads(trained: Sequence[tuple[HeadGroup, HeadLayer]], fewer: Sequence[tuple[HeadGroup, HeadLayer]]) -> None:
    for group, part in fewer:
        theirs, source = next((theirs, each) for theirs, each in trained if set(group.heads) <= set(theirs.heads))
        part.load_state_dict(source.state_of_heads([theirs.heads.index(head) for head in group.heads]))
    # A bias of the output is no head's: that of a group that is gone goes on with those that stay.
    left = {head for group, _ in fewer for head in group.heads}
    for theirs, source in trained:
        for mine, written in zip(fewer[0][1].output_maps, source.output_maps, strict=True):
            if not left & set(theirs.heads) and isinstance(bias := getattr(written, "bias", None), Tensor):
                cast(Tensor, mine.bias).add_(bias)
