"""Pruning of whole layers: the layers that are named, or those without which the score falls least."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from reformer.finetuning.errors import FinetuningError
from reformer.finetuning.layers import backbone, layers, rebuilt

Measure = Callable[[PreTrainedModel], float]


@dataclass(frozen=True)
class PrunedLayers:
    """A model with fewer layers, and the scores that chose them."""

    model: PreTrainedModel
    kept: tuple[int, ...]
    """The layers that are left, by their numbers in the trained model."""
    worth: tuple[float, ...]
    """By layer, how much the whole model's score falls when it alone is skipped; below 0 if the score rises."""
    score: float
    """The whole model's score."""
    pruned_score: float
    """The smaller model's score, before any further training."""


def keep_layers(model: PreTrainedModel, kept: Sequence[int]) -> PreTrainedModel:
    """A model of these layers alone, an ordinary smaller one. A layer reads what the one below it has written last.

    Args:
        model: the trained model, which is left as it is.
        kept: numbers of layers from 0 at the bottom, rising.

    Raises:
        FinetuningError: there is no such layer, none is left, they do not rise, layers share their weights, or the
            stack shortens the sequence (`shortened_layers`).
    """
    count = len(layers(model))
    if not kept or list(kept) != sorted(set(kept)) or not 0 <= kept[0] <= kept[-1] < count:
        raise FinetuningError(
            f"layers to keep: {list(kept)}; expected rising numbers from 0 to {count - 1}, at least one"
        )
    _check_separable(model)
    config = backbone(model).config
    kinds, order = config.attention_layers, config.norm_order
    each = len(layers(model)[0])
    if order == "first" and kept[0]:
        raise FinetuningError(
            f"layers to keep: {list(kept)}; with norm_order='first' the first layer's norm is that of the embeddings, "
            "so layer 0 has to stay"
        )
    with torch.no_grad():
        smaller = rebuilt(model, attention_layers=[kinds[number] for number in kept])
        weights = model.state_dict()
        for name, weight in smaller.state_dict().items():
            trained = _norm_place(name, kept, each, count) if order == "post" else None
            weight.copy_(weights[trained or _place(name, kept, each)])
    return smaller


def prune_layers(
    model: PreTrainedModel,
    measure: Measure,
    *,
    count: int | None = None,
    tolerance: float | None = None,
    greater_is_better: bool = True,
) -> PrunedLayers:
    """Prune layers one after the other, each time the one without which the score falls least.

    After each, every layer that is left is measured anew, since of two layers that do the same only one can go.

    Args:
        model: the trained model, which is left as it is.
        measure: a model's score on data that was held out.
        count: how many layers to keep.
        tolerance: how far the score may fall below the whole model's, in its own units; without a `count` layers go
            for as long as it does not.
        greater_is_better: of the score.

    Raises:
        FinetuningError: neither or both of `count` and `tolerance`, more layers to keep than there are, or
            layers that cannot be taken out, see `keep_layers`.
    """
    every = len(layers(model))
    if (count is None) == (tolerance is None):
        raise FinetuningError("give either how many layers to keep or by how much the score may fall")
    if count is not None and not 1 <= count <= every:
        raise FinetuningError(f"{count} layers to keep: the model has {every}; expected 1 to {every}")
    _check_separable(model)
    sign = 1.0 if greater_is_better else -1.0
    whole = sign * measure(model)
    kept, best, chosen, worth = list(range(every)), whole, model, []
    while len(kept) > (count or 1):
        left = [[number for number in kept if number != gone] for gone in kept]
        scores = [sign * measure(keep_layers(model, numbers)) for numbers in left]
        worth = worth or [whole - score for score in scores]
        top = max(range(len(kept)), key=scores.__getitem__)
        if tolerance is not None and scores[top] < whole - tolerance:
            break
        kept, best = left[top], scores[top]
    if len(kept) < every:
        chosen = keep_layers(model, kept)
    return PrunedLayers(chosen, tuple(kept), tuple(worth), sign * whole, sign * best)


def _place(name: str, kept: Sequence[int], each: int) -> str:
    """The name that a weight of the smaller model has in the trained one."""

    def renumbered(found: re.Match[str]) -> str:
        layer, sublayer = divmod(int(found[1]), each)
        return f"encoder.sublayers.{kept[layer] * each + sublayer}."

    return re.sub(r"\bencoder\.sublayers\.(\d+)\.", renumbered, name)


def _norm_place(name: str, kept: Sequence[int], each: int, count: int) -> str | None:
    """The name of a norm in the trained post-norm model, where the norm behind a sub-layer belongs to that and is kept
    with it; None for another weight."""
    found = re.fullmatch(r"(reformer\.|)(?:encoder\.sublayers\.(\d+)\.)?norm\.(\w+)", name)
    if found is None:
        return None
    behind = int(found[2] if found[2] is not None else len(kept) * each) - 1
    if behind < 0:
        return name
    place = kept[behind // each] * each + behind % each + 1
    return f"{found[1]}{'' if place == count * each else f'encoder.sublayers.{place}.'}norm.{found[3]}"


def _check_separable(model: PreTrainedModel) -> None:
    if model.config.num_distinct_layers is not None:
        raise FinetuningError(
            f"num_distinct_layers={model.config.num_distinct_layers}: layers that share their weights cannot be taken "
            "out one by one; prune before sharing"
        )
    if model.config.shortened_layers is not None:
        raise FinetuningError(
            f"shortened_layers={list(model.config.shortened_layers)}: what runs on a shortened sequence is told by the "
            "layers' numbers, so none of them can be taken out; prune a model without shortened_layers"
        )
