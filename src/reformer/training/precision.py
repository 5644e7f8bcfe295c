"""Precision of a run whose recipe leaves it to the machine."""

from typing import Literal

import torch

from reformer.ops import native
from reformer.recipe import Recipe


def resolve_precision(recipe: Recipe) -> Recipe:
    """The recipe with `training.precision = "auto"` replaced by the precision that this machine trains fastest in.

    The run folder keeps this recipe, so that the run has the same precision wherever it is resumed.
    """
    if recipe.training.precision != "auto":
        return recipe
    return with_precision(recipe, fastest_precision(recipe.training.device))


def with_precision(recipe: Recipe, precision: str) -> Recipe:
    """The recipe with another precision."""
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"precision": precision})})


def fastest_precision(device: Literal["auto", "cpu"]) -> Literal["float32", "bfloat16"]:
    """bfloat16 where the processor multiplies it natively, float32 elsewhere.

    On such a processor a training step takes about half the time (`docs/benchmarks.md`, "Training a whole model"), and
    the loss falls as in float32 (`docs/log.md`). Sums, norms, the loss and the weights stay float32 in either.

    Args:
        device: the recipe's.
    """
    if device == "cpu" or not torch.accelerator.is_available():
        native_products = native.multiplies_bfloat16()
    else:
        native_products = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if native_products else "float32"
