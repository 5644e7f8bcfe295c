"""Parameter groups of the optimizer: weight decay and learning rate of each weight."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from transformers import PreTrainedModel

from reformer.finetuning import layers_of, stacks
from reformer.recipe import FinetuneRecipe

Groups = list[dict[str, Any]]


def parameter_groups(
    model: PreTrainedModel, recipe: FinetuneRecipe, learning_rate: float, weight_decay: float, decayed: Collection[str]
) -> Groups:
    """The parameters that learn, those together that have the same rate and decay.

    With `layer_decay` the top layer of each stack has the whole rate and each one below it `layer_decay` times the rate
    of the one above, embeddings as a layer below the lowest. Source: discriminative fine-tuning, Howard and Ruder 2018,
    section 3.2. The head has `head_learning_rate`, or the whole rate.

    Args:
        decayed: the names of the parameters that have weight decay.
    """
    rates = learning_rates(model, recipe, learning_rate)
    # Decay first, as in transformers' Trainer: a checkpoint's optimizer has its groups in this order.
    groups: dict[tuple[bool, float], list[Any]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[name not in decayed, -rates[name]].append(parameter)
    return [
        {"params": groups[plain, rate], "lr": -rate, "weight_decay": 0.0 if plain else weight_decay}
        for plain, rate in sorted(groups)
    ]


def learning_rates(model: PreTrainedModel, recipe: FinetuneRecipe, learning_rate: float) -> dict[str, float]:
    """The highest learning rate of each parameter, by its name."""
    of_head = recipe.head_learning_rate or learning_rate
    if model.base_model is model:
        of_head = learning_rate
    rates = {name: of_head for name, _ in model.named_parameters()}
    decay = recipe.layer_decay or 1.0
    names = {parameter: name for name, parameter in model.named_parameters()}
    for stack in stacks(model).values():
        every = layers_of(stack)
        for parameter in stack.parameters():
            rates[names[parameter]] = learning_rate * decay ** len(every)
        for parameter in stack.norm.parameters():
            rates[names[parameter]] = learning_rate
        # From the bottom: weights that several layers share have the rate of the highest one.
        for depth, sublayers in enumerate(every, 1):
            for sublayer in sublayers:
                for parameter in sublayer.parameters():
                    rates[names[parameter]] = learning_rate * decay ** (len(every) - depth)
    return rates
