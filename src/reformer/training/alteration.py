"""What a recipe's `[finetune]` table changes about a trained model before it learns on."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from transformers import PreTrainedModel

from reformer.finetuning import FinetuningError, keep_heads, keep_layers, share, trim, trim_heads, widen
from reformer.training.material import Material, Task
from reformer.training.recipe import FinetuneRecipe, TrainingRecipe


def altered(
    model: PreTrainedModel, recipe: FinetuneRecipe, task: Task, material: Material, training: TrainingRecipe, new: Any
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The model without some layers and heads, its layers sharing, and widened, in this order, each where the recipe
    says so.

    Args:
        model: the trained model under the task's head.
        new: the weights that are not the trained model's; with any, no score tells what a layer or a head is worth.

    Returns:
        The model, and what `metrics.json` tells of it.

    Raises:
        FinetuningError: something cannot be done to this model.
    """
    told: dict[str, Any] = {}
    measuring = [
        name
        for name in ("trim_layers", "trim_tolerance", "trim_heads", "trim_heads_tolerance")
        if getattr(recipe, name) is not None
    ]
    if measuring and new:
        raise FinetuningError(
            f"finetune.{' and '.join(measuring)}: what something is worth is measured, and {', '.join(new)} are new "
            "and have learned nothing; start from a model of this task, or name what to keep by keep_layers or "
            "keep_heads"
        )

    def measure(each: PreTrainedModel) -> float:
        return held_out_score(each.eval(), task, material, training)

    if recipe.keep_layers is not None:
        model = keep_layers(model, recipe.keep_layers)
        told["kept"] = recipe.keep_layers
    if recipe.trim_layers is not None or recipe.trim_tolerance is not None:
        found = trim(
            model.eval(),
            measure,
            count=recipe.trim_layers,
            tolerance=recipe.trim_tolerance,
            greater_is_better=task.greater_is_better,
        )
        model = found.model
        told |= {"kept": found.kept, "worth": found.worth}
        told |= {"score": found.score, "trimmed_score": found.trimmed_score}
    if recipe.keep_heads is not None:
        model = keep_heads(model, recipe.keep_heads)
        told["kept_heads"] = recipe.keep_heads
    if recipe.trim_heads is not None or recipe.trim_heads_tolerance is not None:
        fewer = trim_heads(
            model.eval(),
            measure,
            count=recipe.trim_heads,
            tolerance=recipe.trim_heads_tolerance,
            greater_is_better=task.greater_is_better,
        )
        model = fewer.model
        told |= {"kept_heads": fewer.kept, "heads_worth": fewer.worth}
        told |= {"score": told.get("score", fewer.score), "trimmed_score": fewer.trimmed_score}
    if recipe.distinct_layers is not None:
        model = share(model, recipe.distinct_layers)
        told["distinct_layers"] = recipe.distinct_layers
    if recipe.hidden_size is not None:
        model = widen(model, recipe.hidden_size)
        told["hidden_size"] = recipe.hidden_size
    return model.train(), told


def alterations_in_words(told: Mapping[str, Any], metric: str) -> Iterator[str]:
    """Lines for whoever starts the run: what each layer and head is worth, and what was done."""
    for number, worth in enumerate(told.get("worth", ())):
        yield f"layer {number}: without it {metric} {_change(worth)}"
    if "kept" in told:
        yield f"layers kept: {', '.join(map(str, told['kept']))}"
    for number, worths in enumerate(told.get("heads_worth", ())):
        measured = [f"{head} {_change(worth)}" for head, worth in enumerate(worths) if worth is not None]
        if measured:
            yield f"layer {number}: {metric} without its head {', '.join(measured)}"
    for number, heads in enumerate(told.get("kept_heads", ())):
        yield f"heads kept in layer {number}: {', '.join(map(str, heads)) or 'none, it is no attention'}"
    if "score" in told:
        yield f"{metric} of the trained model {told['score']:.4f}, trimmed {told['trimmed_score']:.4f}"
    if "distinct_layers" in told:
        yield f"layers with weights of their own: {told['distinct_layers']}"
    if "hidden_size" in told:
        yield f"hidden width: {told['hidden_size']}"


def _change(worth: float) -> str:
    return f"{'falls' if worth >= 0 else 'gains'} by {abs(worth):.4f}"


@torch.no_grad()
def held_out_score(model: PreTrainedModel, task: Task, material: Material, training: TrainingRecipe) -> float:
    """The task's score of a model in evaluation mode on what the best weights are chosen with."""
    score, dataset = material.score(), material.validation
    for indices in material.batches(dataset, training, shuffle=False, rank=0, world_size=1):
        batch = material.collate([dataset[index] for index in indices])
        material.measure(model, {name: value.to(model.device) for name, value in batch.items()}, score)
    return score.result()[task.best_metric]
