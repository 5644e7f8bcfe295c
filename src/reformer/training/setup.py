"""Set-up of a run from its recipe: process, Trainer's arguments, trainer."""

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import distributed
from torch.utils.tensorboard.writer import SummaryWriter
from transformers import PreTrainedModel, PrinterCallback, TrainerCallback, TrainerState, TrainingArguments
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK, TensorBoardCallback
from transformers.trainer import TRAINER_STATE_NAME
from transformers.utils import logging

from reformer.errors import ReformerError
from reformer.files import remove_leftovers
from reformer.recipe import Recipe
from reformer.runs.folder import CHECKPOINTS, LOGS, RECIPE, check_free
from reformer.tasks.base import TaskData
from reformer.tasks.registry import TASKS
from reformer.training.callbacks.early_stopping import EarlyStoppingCallback
from reformer.training.divided_rows import sequence_group
from reformer.training.precision import resolve_precision
from reformer.training.resume import ResumedRun, find_run
from reformer.training.schedule import Schedule
from reformer.training.sharded_trainer import ShardedTrainer, ShardedTrainingArguments
from reformer.training.trainer import CountingTrainer

TENSORBOARD = "tensorboard"
NEVER = 10**9
"""A step that no run reaches: at a step a millisecond it takes 11 days. Trainer's arguments take whole numbers only."""


def begin(
    recipe: Recipe, folder: Path, *, resume: bool, overwrite: bool
) -> tuple[Recipe, ResumedRun | None, TrainingArguments]:
    """The recipe with its precision decided, the run to resume if any, and Trainer's arguments.

    Sets the number of threads.

    Raises:
        RunError: the folder is in use, or there is nothing in it to resume.
    """
    resumed = None
    check_trackers(recipe.training.report_to)
    remove_leftovers(folder)
    if resume and (folder / RECIPE).is_file():
        resumed, recipe = find_run(folder, recipe)
    else:
        # Also a run to resume that was killed before its recipe was in the folder: nothing of it is lost.
        recipe = resolve_precision(recipe)
        data = [path for path in (recipe.data.train, recipe.data.validation, recipe.data.test) if path is not None]
        check_free(folder, overwrite=overwrite, start=recipe.finetune.start_from, data=data)
    arguments = training_arguments(recipe, folder)
    # After the arguments: where processes are connected on the CPU, accelerate has set a number of its own.
    if recipe.training.num_threads is not None:
        torch.set_num_threads(recipe.training.num_threads)
    return recipe, resumed, arguments


@contextmanager
def process_state_restored() -> Iterator[None]:
    """Random states, number of threads and transformers' verbosity are afterwards what they were before.

    A run sets them for the whole process, and whoever called it would go on with other random numbers, fewer threads
    and no warnings. Of GPUs, those that were in use before have their random states restored.
    """
    threads, verbosity = torch.get_num_threads(), logging.get_verbosity()
    python_state, numpy_state, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    gpu_states = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
        torch.cuda.set_rng_state_all(gpu_states)
        torch.set_num_threads(threads)
        logging.set_verbosity(verbosity)


def training_arguments(recipe: Recipe, folder: Path) -> TrainingArguments:
    """Trainer's arguments."""
    chosen = recipe.training
    # On a CPU, without `use_cpu` and a backend, Trainer would take several processes for one, each on its own.
    on_cpu = chosen.device == "cpu" or not torch.accelerator.is_available()
    kind = ShardedTrainingArguments if chosen.fsdp else TrainingArguments
    return kind(
        output_dir=str(folder / CHECKPOINTS),
        max_steps=NEVER,
        learning_rate=chosen.learning_rate,
        weight_decay=chosen.weight_decay,
        gradient_accumulation_steps=chosen.gradient_accumulation,
        max_grad_norm=chosen.max_grad_norm,
        logging_steps=chosen.logging_steps,
        logging_nan_inf_filter=False,
        # `ScheduleCallback` asks for evaluations and checkpoints; these let Trainer keep the best of them.
        eval_strategy="steps",
        eval_steps=NEVER,
        save_strategy="steps",
        save_steps=NEVER,
        # `CountingTrainer` removes old checkpoints: Trainer would count those that are not whole.
        save_total_limit=None,
        load_best_model_at_end=True,
        # The patience that is left of early stopping.
        restore_callback_states_from_checkpoint=True,
        metric_for_best_model=TASKS[chosen.task].best_metric,
        greater_is_better=TASKS[chosen.task].greater_is_better,
        bf16=chosen.precision == "bfloat16",
        use_cpu=on_cpu,
        ddp_backend="gloo" if on_cpu and distributed.is_initialized() else None,
        ddp_find_unused_parameters=False,
        seed=chosen.seed,
        include_num_input_tokens_seen="non_padding",
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=False,
        report_to="none",
        # By which trackers of experiments know it.
        run_name=folder.resolve().name,
        disable_tqdm=True,
        log_level="error",
        log_level_replica="error",
    )


def build_trainer(
    recipe: Recipe,
    arguments: TrainingArguments,
    model: PreTrainedModel,
    data: TaskData,
    folder: Path,
    checkpoint: str | None = None,
) -> CountingTrainer:
    """A trainer that follows the recipe's schedule, and writes its log in the run folder.

    Args:
        checkpoint: what the run resumes from, if anything. It keeps the number of steps that it was begun with, also
            where that of an epoch has changed, by other data or by another number of processes.
    """
    chosen = recipe.training
    # What a layer that is left out would have learned has no gradient on any process.
    arguments.ddp_find_unused_parameters = bool(model.config.layer_drop)
    sequence = sequence_group(recipe, arguments)
    schedule = Schedule(chosen.max_steps or NEVER, chosen.max_minutes, chosen.warmup_ratio, chosen.num_evaluations)
    kind = ShardedTrainer if chosen.fsdp else CountingTrainer
    trainer = kind(model=model, args=arguments, recipe=recipe, data=data, schedule=schedule, sequence=sequence)
    if chosen.epochs is not None:
        steps = math.ceil(chosen.epochs * trainer.steps_in_epoch)
        if checkpoint is not None:
            steps = TrainerState.load_from_json(str(Path(checkpoint) / TRAINER_STATE_NAME)).max_steps
        schedule.max_steps = min(schedule.max_steps, steps)
    arguments.max_steps = schedule.max_steps
    trainer.remove_callback(PrinterCallback)
    if chosen.early_stopping_patience is not None:
        trainer.add_callback(EarlyStoppingCallback(chosen.early_stopping_patience))
    if arguments.process_index == 0:
        for callback in _trackers(chosen.report_to, folder):
            trainer.add_callback(callback)
    return trainer


def check_trackers(report_to: Sequence[str] | None) -> None:
    """Raise `ReformerError` where a tracker of `training.report_to` is not installed."""
    missing = [name for name in report_to or () if name != TENSORBOARD and find_spec(name) is None]
    if missing:
        raise ReformerError(
            f"training.report_to: {', '.join(missing)} not installed; pip install {' '.join(missing)}, or leave it out"
        )


def _trackers(report_to: Sequence[str] | None, folder: Path) -> Iterator[TrainerCallback]:
    """The callbacks that tell the trackers."""
    for name in dict.fromkeys([TENSORBOARD] if report_to is None else report_to):
        if name == TENSORBOARD:
            yield TensorBoardCallback(SummaryWriter(str(folder / LOGS)))
        else:
            yield INTEGRATION_TO_CALLBACK[name]()
