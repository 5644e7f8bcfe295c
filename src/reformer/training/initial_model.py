"""Initial model of a run: fresh, transferred, pruned, shared, widened or frozen."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from transformers import PreTrainedModel

from reformer.finetuning import (
    FinetuningError,
    freeze,
    keep_heads,
    keep_layers,
    prune_heads,
    prune_layers,
    share,
    transfer,
    widen,
)
from reformer.models import ReformerModel
from reformer.recipe import FinetuneRecipe, Recipe, TrainingRecipe
from reformer.runs.folder import START
from reformer.tasks.base import Task, TaskData
from reformer.tasks.model_setup import PretrainedStart, local_place, read_start
from reformer.training.lora_training import adapter_base
from reformer.training.model_changes import ModelChanges
from reformer.training.resume import kept_start


def load_start(recipe: Recipe, folder: Path, *, resume: bool) -> PretrainedStart | None:
    """The pretrained model that the recipe names; of a resumed run, what its folder has kept of it.

    Raises:
        FinetuningError: there is no such model.
    """
    place = recipe.finetune.start_from
    if place is None:
        return None
    if resume:
        return kept_start(place, folder / START)
    return read_start(place, accept_licence=bool(recipe.finetune.accept_licence))


def initial_model(
    task: Task, data: TaskData, recipe: Recipe, start: PretrainedStart | None
) -> tuple[PreTrainedModel, ModelChanges]:
    """The model to train, whose configuration is its own from here on, and how it differs from the pretrained one.

    Of a resumed run it is a model of the same shape, whose weights are still to be read from the checkpoint.

    Raises:
        FinetuningError: the recipe asks for something that cannot be done to the pretrained model.
    """
    changes = ModelChanges()
    if start is None:
        model = task.head(data.config)
        # In a resumed run too: which weights this freezes, no checkpoint says.
        data.initialize(model)
    elif start.model is None:
        model = task.head(data.config)
    else:
        transferred = transfer(start.model, task.head, data.config)
        changes = ModelChanges(
            transferred.new,
            transferred.dropped,
            transferred.drawn,
            adapter_base(local_place(start.place), recipe.finetune),
        )
        model, changes = _resized(transferred.model, recipe.finetune, task, data, recipe.training, changes)
    if isinstance(recipe.finetune.freeze, list):
        freeze(model, recipe.finetune.freeze)
    return model, changes


def keep_frequent_ngrams(
    model: PreTrainedModel, data: TaskData, recipe: TrainingRecipe, start: PretrainedStart | None
) -> None:
    """Drop the n-grams that are too rare in the training texts, where the model has n-grams and a bound for them."""
    backbone = model.base_model
    if not isinstance(backbone, ReformerModel) or model.config.ngram_min_frequency == 1:
        return
    order = data.batches(data.train, recipe, shuffle=False, rank=0, world_size=1)
    batches = (data.collate([data.train[index] for index in indices]) for indices in order)
    texts = ((batch["input_ids"], batch["attention_mask"]) for batch in batches)
    backbone.keep_frequent_ngrams(texts, further=start is not None)


def fit_wide_part(
    model: PreTrainedModel, data: TaskData, changes: ModelChanges, start: PretrainedStart | None, *, resumed: bool
) -> None:
    """Fit the wide part of a model that has one, unless it comes from the pretrained model."""
    if has_wide_part(model) and (start is None or "wide.table" in changes.new):
        data.fit_wide(model, resumed=resumed)


def has_wide_part(model: PreTrainedModel) -> bool:
    """Whether the model adds logits of n-grams to its own."""
    return getattr(model, "wide", None) is not None


def _resized(
    model: PreTrainedModel,
    recipe: FinetuneRecipe,
    task: Task,
    data: TaskData,
    training: TrainingRecipe,
    changes: ModelChanges,
) -> tuple[PreTrainedModel, ModelChanges]:
    """The model without some layers, then heads, its layers sharing weights, and widened, as far as the recipe asks."""
    _check_learned(recipe, changes.new)

    def measure(candidate: PreTrainedModel) -> float:
        return data.evaluate(candidate.eval(), data.validation, training).result()[task.best_metric]

    if recipe.keep_layers is not None:
        model, changes = keep_layers(model, recipe.keep_layers), replace(changes, kept_layers=recipe.keep_layers)
    if recipe.prune_layers is not None or recipe.prune_tolerance is not None:
        pruned_layers = prune_layers(
            model.eval(),
            measure,
            count=recipe.prune_layers,
            tolerance=recipe.prune_tolerance,
            greater_is_better=task.greater_is_better,
        )
        model = pruned_layers.model
        changes = replace(changes, kept_layers=pruned_layers.kept, layer_worth=pruned_layers.worth)
        changes = replace(changes, score=pruned_layers.score, trimmed_score=pruned_layers.pruned_score)
    if recipe.keep_heads is not None:
        model, changes = keep_heads(model, recipe.keep_heads), replace(changes, kept_heads=recipe.keep_heads)
    if recipe.prune_heads is not None or recipe.prune_heads_tolerance is not None:
        pruned_heads = prune_heads(
            model.eval(),
            measure,
            count=recipe.prune_heads,
            tolerance=recipe.prune_heads_tolerance,
            greater_is_better=task.greater_is_better,
        )
        model = pruned_heads.model
        # Where layers were pruned before, the score to compare with is that of the model with all of them.
        score = pruned_heads.score if changes.score is None else changes.score
        changes = replace(changes, kept_heads=pruned_heads.kept, head_worth=pruned_heads.worth)
        changes = replace(changes, score=score, trimmed_score=pruned_heads.pruned_score)
    if recipe.distinct_layers is not None:
        model = share(model, recipe.distinct_layers)
        changes = replace(changes, distinct_layers=recipe.distinct_layers)
    if recipe.hidden_size is not None:
        model, changes = widen(model, recipe.hidden_size), replace(changes, hidden_size=recipe.hidden_size)
    return model.train(), changes


def _check_learned(recipe: FinetuneRecipe, new: Sequence[str]) -> None:
    """Refuse to measure layers or heads by the score of weights that have learned nothing."""
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
