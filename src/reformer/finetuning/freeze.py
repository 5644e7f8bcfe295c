"""Freezing: parameters without a gradient, on which training spends nothing."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from torch import nn
from transformers import PreTrainedModel

from reformer.finetuning.errors import FinetuningError
from reformer.finetuning.layers import layers, layers_of, stacks

EMBEDDINGS = "embeddings"


def freeze(model: PreTrainedModel, parts: Iterable[str]) -> list[str]:
    """Freeze parts of a model, and leave the rest as it was; the names of the parameters that are frozen now.

    A frozen parameter has no gradient and no state in the optimizer. Where everything below some layer is frozen,
    embeddings included, the backward pass ends there: those layers are not run again.

    Args:
        model: changed in place; its parameters' `requires_grad` alone.
        parts: `"embeddings"` for all that is below the layers; a layer `"2"` or a range of layers with both its ends,
            `"0-3"`, counted from 0 at the bottom, of an encoder-decoder `"encoder.0-3"` or `"decoder.2"`; or a pattern
            of parameters' names, such as `"*.query_key.weight"`.

    Raises:
        FinetuningError: there is no such layer or stack, a pattern that no name fits, or nothing is left to train.
    """
    for part in parts:
        for parameter in _parameters(model, part):
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise FinetuningError(f"finetune.freeze = {list(parts)}: nothing is left to train; freeze less")
    return [name for name, parameter in model.named_parameters() if not parameter.requires_grad]


def freeze_all_but_top(model: PreTrainedModel, count: int) -> None:
    """Train the head, the last norm and the upper `count` layers; with more than there are, the embeddings too."""
    every = layers(model)
    for sublayers in every[: max(0, len(every) - count)]:
        for sublayer in sublayers:
            sublayer.requires_grad_(False)
    for sublayers in every[max(0, len(every) - count) :]:
        for sublayer in sublayers:
            sublayer.requires_grad_(True)
    for parameter in _parameters(model, EMBEDDINGS):
        parameter.requires_grad_(count > len(every))


def _parameters(model: PreTrainedModel, part: str) -> list[nn.Parameter]:
    if part == EMBEDDINGS:
        reading = [model.get_submodule(name) for name in getattr(model, "reads", ())]
        below = [module for stack in stacks(model).values() for module in _below(stack)]
        return [parameter for module in below + reading for parameter in module.parameters()]
    numbers = re.fullmatch(r"(?:(\w+)\.)?(\d+)(?:-(\d+))?", part)
    if numbers is None:
        found = [parameter for name, parameter in model.named_parameters() if fnmatchcase(name, part)]
        if not found:
            first = next(name for name, _ in model.named_parameters())
            raise FinetuningError(
                f"finetune.freeze has {part!r}, and no parameter's name fits it; expected embeddings, a layer as 2, "
                f"a range as 0-3, or a pattern of names such as {first}"
            )
        return found
    there = stacks(model)
    name = numbers[1] or ""
    if name not in there:
        expected = " or ".join(
            f"{each}.{part.rpartition('.')[2]}" if each else part.rpartition(".")[2] for each in there
        )
        raise FinetuningError(f"finetune.freeze has {part!r}, and the model has no such stack; expected {expected}")
    every = layers_of(there[name])
    begin, end = int(numbers[2]), int(numbers[3] or numbers[2])
    if not begin <= end < len(every):
        which = f"its {name}" if name else "the model"
        raise FinetuningError(f"finetune.freeze has {part!r}; {which} has the layers 0 to {len(every) - 1}")
    return [parameter for each in every[begin : end + 1] for sublayer in each for parameter in sublayer.parameters()]


def _below(stack: PreTrainedModel) -> list[nn.Module]:
    """Modules below the lowest layer: embeddings, their projection, positions and n-grams."""
    return [module for name, module in stack.named_children() if name not in ("encoder", "norm")]
