"""Checks of a recipe against its task."""

from pathlib import Path

from reformer.recipe import Recipe, RecipeError, _nearest

# What a run finds out by itself: a recipe that sets one of them would contradict its own data.
DECIDED_BY_THE_RUN = {
    "vocab_size": "the tokenizer decides it; set tokenizer.vocab_size",
    "num_labels": "the training documents decide it",
    "id2label": "the training documents decide it",
    "label2id": "the training documents decide it",
    "problem_type": "training.task decides it",
    "pad_token_id": "the tokenizer decides it",
    "decoder_start_token_id": "the tokenizer decides it",
    "prediction_length": "set data.horizon",
    "num_channels": "the images decide it",
    "image_size": "the images decide it",
    "num_time_features": "the task decides it",
}


def _check_model(path: Path, recipe: Recipe) -> None:
    """Refuse model fields that do not exist, are not the recipe's to set, or do not fit together."""
    from huggingface_hub.errors import StrictDataclassError

    from reformer.models import ReformerConfig
    from reformer.models.configuration.fields import FIELDS
    from reformer.tasks.registry import TASKS

    fields = recipe.model
    known = set(FIELDS) - set(DECIDED_BY_THE_RUN)
    for name in fields:
        if name in DECIDED_BY_THE_RUN:
            raise RecipeError(f"{path}: model.{name} is not the recipe's to set: {DECIDED_BY_THE_RUN[name]}")
        if name not in known | {"chunk_size_feed_forward"}:
            raise RecipeError(f"{path}: model.{name}: there is no such field{_nearest(name, known)}")
    try:
        ReformerConfig(**{**fields, **TASKS[recipe.training.task].model_fields})
    except StrictDataclassError as error:
        # It says twice what it expected: in short, and then type by type.
        short = " ".join(str(error).split()).rpartition("TypeError: ")[2].partition(" Errors:")[0]
        raise RecipeError(f"{path}: [model] {short}") from None
    except ValueError as error:
        # Over a trained model's own fields they may fit together; that is seen when it is read.
        if recipe.finetune.start_from is None:
            raise RecipeError(f"{path}: [model] {error}") from None
