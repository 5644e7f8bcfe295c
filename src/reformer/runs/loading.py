"""Loading of a run folder."""

from pathlib import Path
from typing import overload

from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

from reformer.finetuning import load_pretrained
from reformer.finetuning.adapter import ADAPTER
from reformer.models.progress_bars import no_progress_bars
from reformer.models.undrawn_weights import UndrawnWeights
from reformer.runs.folder import RECIPE, RunError, check_whole, read_calibration, weights_file
from reformer.runs.recipe_file import read_recipe
from reformer.tasks.base import AnyTask, Run, Task
from reformer.tasks.registry import TASKS


@overload
def load_run(folder: str | Path) -> Run[Task]: ...
@overload
def load_run(folder: str | Path, kind: type[AnyTask]) -> Run[AnyTask]: ...
def load_run(folder: str | Path, kind: type[Task] = Task) -> Run[Task]:
    """Load a run folder, the model ready to use.

    Args:
        folder: what `train` has written.
        kind: the task that the run must have learned: over documents (`DocumentTask`), say, or `LanguageModelling`.

    Raises:
        RunError: there is no such folder, it has learned another task, or a file of it is missing or broken.
        FinetuningError: it holds an adapter, and the model that this belongs to cannot be had.
    """
    folder = Path(folder)
    check_whole(folder, ("config.json", weights_file(folder), RECIPE))
    recipe = read_recipe(folder / RECIPE)
    task = TASKS[recipe.training.task].for_recipe(recipe)
    if task.processor_file is not None:
        check_whole(folder, (task.processor_file,))
    if not isinstance(task, kind):
        fitting = " or ".join(name for name, other in TASKS.items() if isinstance(other, kind))
        raise RunError(f"{folder}: this run has learned {recipe.training.task}; give one that has learned {fitting}")
    model = load_pretrained(str(folder)) if weights_file(folder) == ADAPTER else _whole_model(folder, task)
    if not isinstance(model, task.head):
        raise RunError(f"{folder}: its model is a {type(model).__name__}, and {recipe.training.task} needs another")
    steps = getattr(recipe.data, "prediction_length", None)
    if steps not in (None, model.config.prediction_length):
        told = f"its recipe predicts {steps} steps, and its model {model.config.prediction_length}"
        raise RunError(f"{folder}: {told}; put back the files that were written together, or train it again")
    if model.can_generate():
        # Commands say how to generate; what a file of the folder says beside the token ids is nobody's choice.
        model.generation_config = GenerationConfig.from_model_config(model.config)
    processor = task.load_processor(folder)
    _check_tokenizer(folder, model, processor)
    calibration = read_calibration(folder)
    intervals = calibration.intervals
    if intervals is not None and not intervals.fits(getattr(model.config, "quantiles", ()), steps or 0):
        told = "its calibration.json is of other quantiles than its model forecasts, or has a shift that is no number"
        raise RunError(f"{folder}: {told}; put back the files that were written together, or train it again")
    return Run(folder, recipe, task, model, processor, calibration)


def _whole_model(folder: Path, task: Task) -> PreTrainedModel:
    try:
        with no_progress_bars(), UndrawnWeights():
            return task.head.from_pretrained(folder, local_files_only=True).eval()
    # Truncated weights, a config of another class, JSON cut short: each means that the folder was damaged.
    except Exception as error:
        raise RunError(f"{folder}: its model cannot be loaded: {error}; train it again") from error


def _check_tokenizer(folder: Path, model: PreTrainedModel, processor: object) -> None:
    """Raise `RunError` where a tokenizer writes ids that the model has no embedding for, or pads with another."""
    if not isinstance(processor, PreTrainedTokenizerFast):
        return
    config = model.config
    if len(processor) > config.vocab_size or processor.pad_token_id != config.pad_token_id:
        raise RunError(
            f"{folder}: its tokenizer has {len(processor)} tokens and pads with {processor.pad_token_id}, its model "
            f"embeds {config.vocab_size} and pads with {config.pad_token_id}; put back the files that were written "
            "together, or train it again"
        )
