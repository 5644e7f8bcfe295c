"""What a recipe's `[finetune]` table changes about a trained model before it learns on."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from transformers import PreTrainedModel

from reformer.finetuning import FinetuningError, keep_layers, share, trim, widen
from reformer.training.material import Material, Task
from reformer.training.recipe import FinetuneRecipe, TrainingRecipe


def altered(
    model: PreTrainedModel, recipe: FinetuneRecipe, task: Task, material: Material, training: TrainingRecipe, new: Any
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The model trimmed, its layers sharing, and widened, in this order, each where the recipe says so.

    Args:
        model: the trained model under the task's head.
        new: the weights that are not the trained model's; with any, no score tells what a layer is worth.

    Returns:
        The model, and what `metrics.json` tells of it.

    Raises:
        FinetuningError: something cannot be done to this model.
    """
    told: dict[str, Any] = {}
    if recipe.keep_layers is not None:
        model = keep_layers(model, recipe.keep_layers)
        told["kept"] = recipe.keep_layers
    if recipe.trim_layers is not None or recipe.trim_tolerance is not None:
        if new:
            raise FinetuningError(
                f"finetune.trim_layers and trim_tolerance measure what each layer is worth, and {', '.join(new)} are "
                "new and have learned nothing; start from a model of this task, or name the layers by keep_layers"
            )
        found = trim(
            model.eval(),
            lambda each: held_out_score(each, task, material, training),
            count=recipe.trim_layers,
            tolerance=recipe.trim_tolerance,
            greater_is_better=task.greater_is_better,
        )
        model = found.model
        told |= {"kept": found.kept, "worth": found.worth}
        told |= {"score": found.score, "trimmed_score": found.trimmed_score}
    if recipe.distinct_layers is not None:
        model = share(model, recipe.distinct_layers)
        told["distinct_layers"] = recipe.distinct_layers
    if recipe.hidden_size is not None:
        model = widen(model, recipe.hidden_size)
        told["hidden_size"] = recipe.hidden_size
    return model.train(), told


def alterations_in_words(told: Mapping[str, Any], metric: str) -> Iterator[str]:
    """Lines for whoever starts the run: what each layer is worth, and what was done."""
    for number, worth in enumerate(told.get("worth", ())):
        yield f"layer {number}: without it {metric} {'falls' if worth >= 0 else 'gains'} by {abs(worth):.4f}"
    if "kept" in told:
        yield f"layers kept: {', '.join(map(str, told['kept']))}"
    if "score" in told:
        yield f"{metric} of the trained model {told['score']:.4f}, trimmed {told['trimmed_score']:.4f}"
    if "distinct_layers" in told:
        yield f"layers with weights of their own: {told['distinct_layers']}"
    if "hidden_size" in told:
        yield f"hidden width: {told['hidden_size']}"


@torch.no_grad()
def held_out_score(model: PreTrainedModel, task: Task, material: Material, training: TrainingRecipe) -> float:
    """The task's score of a model in evaluation mode on what the best weights are chosen with."""
    score, dataset = material.score(), material.validation
    for indices in material.batches(dataset, training, shuffle=False, rank=0, world_size=1):
        batch = material.collate([dataset[index] for index in indices])
        material.measure(model, {name: value.to(model.device) for name, value in batch.items()}, score)
    return score.result()[task.best_metric]
