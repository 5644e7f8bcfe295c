"""Initial model of a run: fresh, transferred, pruned, shared, widened or frozen."""

from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from reformer.finetuning import (
    FinetuningError,
    keep_heads,
    keep_layers,
    prune_heads,
    prune_layers,
    share,
    transfer,
    widen,
)
from reformer.models import ReformerConfig, ReformerModel
from reformer.recipe import FinetuneRecipe, Recipe, TrainingRecipe
from reformer.runs.folder import START
from reformer.tasks.base import Task, TaskData
from reformer.tasks.model_setup import PretrainedStart, read_start
from reformer.training.lora_training import base_changes
from reformer.training.resume import kept_start


def altered(
    model: PreTrainedModel, recipe: FinetuneRecipe, task: Task, data: TaskData, training: TrainingRecipe, new: Any
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
        for name in ("prune_layers", "prune_tolerance", "prune_heads", "prune_heads_tolerance")
        if getattr(recipe, name) is not None
    ]
    if measuring and new:
        raise FinetuningError(
            f"finetune.{' and '.join(measuring)}: what something is worth is measured, and {', '.join(new)} are new "
            "and have learned nothing; start from a model of this task, or name what to keep by keep_layers or "
            "keep_heads"
        )

    def measure(each: PreTrainedModel) -> float:
        return data.evaluate(each.eval(), data.validation, training).result()[task.best_metric]

    if recipe.keep_layers is not None:
        model = keep_layers(model, recipe.keep_layers)
        told["kept"] = recipe.keep_layers
    if recipe.prune_layers is not None or recipe.prune_tolerance is not None:
        found = prune_layers(
            model.eval(),
            measure,
            count=recipe.prune_layers,
            tolerance=recipe.prune_tolerance,
            greater_is_better=task.greater_is_better,
        )
        model = found.model
        told |= {"kept": found.kept, "worth": found.worth}
        told |= {"score": found.score, "trimmed_score": found.pruned_score}
    if recipe.keep_heads is not None:
        model = keep_heads(model, recipe.keep_heads)
        told["kept_heads"] = recipe.keep_heads
    if recipe.prune_heads is not None or recipe.prune_heads_tolerance is not None:
        fewer = prune_heads(
            model.eval(),
            measure,
            count=recipe.prune_heads,
            tolerance=recipe.prune_heads_tolerance,
            greater_is_better=task.greater_is_better,
        )
        model = fewer.model
        told |= {"kept_heads": fewer.kept, "heads_worth": fewer.worth}
        told |= {"score": told.get("score", fewer.score), "trimmed_score": fewer.pruned_score}
    if recipe.distinct_layers is not None:
        model = share(model, recipe.distinct_layers)
        told["distinct_layers"] = recipe.distinct_layers
    if recipe.hidden_size is not None:
        model = widen(model, recipe.hidden_size)
        told["hidden_size"] = recipe.hidden_size
    return model.train(), told


def _start(recipe: Recipe, folder: Path, *, resume: bool) -> PretrainedStart | None:
    place = recipe.finetune.start_from
    if place is None:
        return None
    return kept_start(place, folder / START) if resume else read_start(place)


def _model(
    task: Task, data: TaskData, recipe: Recipe, start: PretrainedStart | None
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The model to train, and what in it is not as in the model that the run starts from."""
    if start is None or start.model is None:
        return task.head(data.config), {}
    found = transfer(start.model, task.head, data.config)
    changes = {"new": found.new, "dropped": found.dropped, "drawn": found.drawn}
    changes |= base_changes(start.place, recipe.finetune)
    model, told = altered(found.model, recipe.finetune, task, data, recipe.training, found.new)
    assert isinstance(model.config, ReformerConfig)
    data.config = model.config
    return model, changes | told


def _keep_frequent_ngrams(model: PreTrainedModel, data: TaskData, recipe: Recipe, *, further: bool) -> None:
    backbone = model.base_model
    if not isinstance(backbone, ReformerModel) or model.config.ngram_min_frequency == 1:
        return
    order = data.batches(data.train, recipe.training, shuffle=False, rank=0, world_size=1)
    batches = (data.collate([data.train[index] for index in indices]) for indices in order)
    texts = ((batch["input_ids"], batch["attention_mask"]) for batch in batches)
    backbone.keep_frequent_ngrams(texts, further)
