"""Frozen parts of a model: they keep their weights, and training spends nothing on them."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from torch import nn
from transformers import PreTrainedModel

from reformer.finetuning.errors import FinetuningError
from reformer.finetuning.layers import backbone, layers

EMBEDDINGS = "embeddings"


def freeze(model: PreTrainedModel, parts: Iterable[str]) -> list[str]:
    """Freeze parts of a model, and leave the rest as it was; the names of the parameters that are frozen now.

    A frozen parameter has no gradient and no state in the optimizer. Where everything below some layer is frozen,
    embeddings included, the backward pass ends there: those layers are not run again.

    Args:
        model: changed in place; its parameters' `requires_grad` alone.
        parts: `"embeddings"` for all that is below the layers; a layer `"2"` or a range of layers with both its ends,
            `"0-3"`, counted from 0 at the bottom; or a pattern of parameters' names, such as `"*.query_key.weight"`.

    Raises:
        FinetuningError: there is no such layer, a pattern that no name fits, or nothing is left to train.
    """
    for part in parts:
        for parameter in _parameters(model, part):
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise FinetuningError(f"finetune.freeze = {list(parts)}: nothing is left to train; freeze less")
    return [name for name, parameter in model.named_parameters() if not parameter.requires_grad]


def freeze_all_but_top(model: PreTrainedModel, count: int) -> None:
    """Train the head, the last norm and the upper `count` layers; with more than there are, the embeddings too."""
    stack, every = backbone(model), layers(model)
    for sublayers in every[: max(0, len(every) - count)]:
        for sublayer in sublayers:
            sublayer.requires_grad_(False)
    for sublayers in every[max(0, len(every) - count) :]:
        for sublayer in sublayers:
            sublayer.requires_grad_(True)
    for module in _below(stack):
        module.requires_grad_(count > len(every))


def _parameters(model: PreTrainedModel, part: str) -> list[nn.Parameter]:
    if part == EMBEDDINGS:
        return [parameter for module in _below(backbone(model)) for parameter in module.parameters()]
    numbers = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
    if numbers is None:
        found = [parameter for name, parameter in model.named_parameters() if fnmatchcase(name, part)]
        if not found:
            first = next(name for name, _ in model.named_parameters())
            raise FinetuningError(
                f"finetune.freeze has {part!r}, and no parameter's name fits it; expected embeddings, a layer as 2, "
                f"a range as 0-3, or a pattern of names such as {first}"
            )
        return found
    every = layers(model)
    begin, end = int(numbers[1]), int(numbers[2] or numbers[1])
    if not begin <= end < len(every):
        raise FinetuningError(f"finetune.freeze has {part!r}; the model has the layers 0 to {len(every) - 1}")
    return [parameter for each in every[begin : end + 1] for sublayer in each for parameter in sublayer.parameters()]


def _below(stack: PreTrainedModel) -> list[nn.Module]:
    """What makes the vectors that the lowest layer reads."""
    return [module for name, module in stack.named_children() if name not in ("encoder", "norm")]
