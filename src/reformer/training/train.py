"""A recipe in, a run folder out."""

import shutil
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch.utils.tensorboard.writer import SummaryWriter
from transformers import set_seed
from transformers.integrations.integration_utils import TensorBoardCallback

from reformer.finetuning import freeze
from reformer.interruption import StoppedError
from reformer.models.progress_bars import no_progress_bars
from reformer.recipe import Recipe
from reformer.runs.folder import CHECKPOINTS, CURVE, LOGS, START, check_free, make_folder, save_model, write_metrics
from reformer.tasks.base import Run
from reformer.tasks.recipe_checks import check
from reformer.tasks.registry import TASKS
from reformer.training.callbacks.averaging import WeightAverage
from reformer.training.callbacks.freed_memory import FreedMemory
from reformer.training.callbacks.gradual_unfreezing import GradualUnfreezing
from reformer.training.callbacks.progress import Display
from reformer.training.callbacks.regularisers import GroupLassoCallback, regularisers
from reformer.training.initial_model import _keep_frequent_ngrams, _model, _start
from reformer.training.learning_curve import plot_learning_curve
from reformer.training.lora_training import LoraTraining
from reformer.training.precision import resolve_precision
from reformer.training.report import (
    _introduce,
    _learning,
    _metrics,
    _say_frozen,
    alterations_in_words,
    changes_in_words,
)
from reformer.training.resume import find_checkpoint, keep_start, kept_changes
from reformer.training.schedule import ScheduleCallback
from reformer.training.setup import _arguments, _check_processes, _trainer
from reformer.training.trainer import CountingTrainer


class InterruptedRunError(StoppedError):
    """Training was asked to stop; the message says what was kept."""


def train(
    recipe: Recipe,
    output: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Train the recipe's model and leave it in the folder `output`; returns what is in its `metrics.json`.

    The best weights by the task's score on the validation part are kept, and at the end measured on the test part,
    if there is one. Started by `torchrun`, the processes share the batches.

    With `resume`, an interrupted run goes on from its last checkpoint as if it had not been interrupted. Of a
    checkpoint only tensors and plain numbers are read: nothing in it can run code.

    Raises:
        RecipeError: the recipe's task cannot use it.
        RunError: `output` is in use, or there is nothing to resume.
        FinetuningError: the recipe starts from a model that is not there or does not fit.
        DataError: something in the data is wrong.
        DivergedError: the loss is no number any more; the checkpoints stay.
        InterruptedRunError: Ctrl-C or a termination request; the checkpoint is saved.
    """
    check(recipe)
    folder, console = Path(output), console or Console(stderr=True)
    checkpoint = None
    if resume:
        checkpoint, recipe = find_checkpoint(folder, recipe)
    else:
        recipe = resolve_precision(recipe)
    arguments = _arguments(recipe, folder)
    if not resume:
        check_free(folder, overwrite=overwrite)
    if recipe.training.num_threads is not None:
        torch.set_num_threads(recipe.training.num_threads)
    task = TASKS[recipe.training.task]
    # What the first process fetches or writes to the cache, the others find there.
    with arguments.main_process_first(local=False):
        start = _start(recipe, folder, resume=resume)
        data = task.load_data(recipe, start)
    set_seed(recipe.training.seed)
    model, changes = _model(task, data, recipe, start)
    if start is None:
        # In a resumed run too: what was told at once is not learned there either.
        data.initialize(model)
    main = arguments.process_index == 0
    if main:
        _introduce(console, data, model, recipe, folder)
        for line in (*changes_in_words(changes), *alterations_in_words(changes, task.best_metric)):
            console.print(line, highlight=False)
        if not resume:
            make_folder(folder, recipe)
            if start is not None:
                keep_start(folder / START, data.config, data.processor, changes)
    if not resume:
        _keep_frequent_ngrams(model, data, recipe, further=start is not None and start.model is not None)
    frozen = recipe.finetune.freeze
    if isinstance(frozen, list):
        freeze(model, frozen)
    adapting = None
    if recipe.finetune.lora_rank is not None:
        adapting = LoraTraining(model, recipe.finetune, kept_changes(folder / START) if resume else changes)
    if main and (adapting is not None or isinstance(frozen, list)):
        _say_frozen(console, model)
    trainer, keeper = _trainer(recipe, arguments, model, data)
    _check_processes(arguments, model)
    shrinking = None
    for each in regularisers(model, recipe.training, keeper.schedule):
        trainer.add_callback(each)
        shrinking = each if isinstance(each, GroupLassoCallback) else shrinking
    unfreezing = None
    if frozen == "auto":
        unfreezing = GradualUnfreezing(model, task.best_metric, task.greater_is_better, console)
        trainer.add_callback(unfreezing)
    if recipe.training.ema_decay is not None:
        trainer.average = WeightAverage(model, recipe.training.ema_decay, checkpoint)
        trainer.add_callback(trainer.average)
    kept_memory = FreedMemory(model, console)
    trainer.add_callback(kept_memory)
    display = Display(console, keeper.schedule, task, data)
    trainer.add_callback(display)
    if main:
        trainer.add_callback(TensorBoardCallback(SummaryWriter(str(folder / LOGS))))
    try:
        _run(trainer, keeper, checkpoint, folder)
    finally:
        display.close()
        kept_memory.release()
    if not main:
        return {}
    learned = _learning(model)
    kept = model if adapting is None else adapting.end(model)
    run = Run(folder, recipe, task, model.eval(), data.processor)
    metrics = _metrics(trainer, run, data, learned)
    if start is not None:
        metrics["start"] = {"from": start.place, **kept_changes(folder / START)}
    if unfreezing is not None:
        metrics["start"]["learned"] = unfreezing.chosen
    if shrinking is not None:
        metrics["training"]["zeros"] = shrinking.lasso.zeros()
    save_model(kept, data.processor, folder)
    plot_learning_curve(
        trainer.state.log_history, task.best_metric, folder / CURVE, greater_is_better=task.greater_is_better
    )
    write_metrics(metrics, folder)
    shutil.rmtree(folder / CHECKPOINTS)
    if start is not None:
        shutil.rmtree(folder / START)
    return metrics


def _run(trainer: CountingTrainer, keeper: ScheduleCallback, checkpoint: str | None, folder: Path) -> None:
    kept = f"{folder}: stopped; %s. Go on with `reformer train RECIPE --resume`, the same --output and --set"
    try:
        with no_progress_bars():
            trainer.train(resume_from_checkpoint=checkpoint)
    except KeyboardInterrupt:
        found = any((folder / CHECKPOINTS).glob("checkpoint-*"))
        if not found:
            raise InterruptedRunError(f"{folder}: stopped before the first checkpoint; nothing was kept") from None
        raise InterruptedRunError(kept % "the last checkpoint is kept") from None
    finally:
        keeper.interruption.release()
    if keeper.request is not None:
        everything = f"everything up to step {trainer.state.global_step:,} is kept"
        raise InterruptedRunError(kept % everything, keeper.request)
