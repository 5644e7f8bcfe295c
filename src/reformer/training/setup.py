"""Trainer, its arguments and callbacks from a recipe."""

import math
from pathlib import Path

import torch
from torch import distributed
from transformers import EarlyStoppingCallback, PreTrainedModel, PrinterCallback, TrainingArguments

from reformer.errors import ReformerError
from reformer.recipe import Recipe
from reformer.runs.folder import CHECKPOINTS
from reformer.tasks.base import TaskData
from reformer.tasks.registry import TASKS
from reformer.training.schedule import Schedule, ScheduleCallback
from reformer.training.trainer import CountingTrainer

# Where only minutes bound a run, no number of steps may.
NO_LIMIT = 10**9


def _arguments(recipe: Recipe, folder: Path) -> TrainingArguments:
    chosen = recipe.training
    # Without being told that it is on a CPU, Trainer would leave several processes unconnected, each on its own.
    on_cpu = chosen.device == "cpu" or not torch.accelerator.is_available()
    return TrainingArguments(
        output_dir=str(folder / CHECKPOINTS),
        max_steps=NO_LIMIT,
        learning_rate=chosen.learning_rate,
        weight_decay=chosen.weight_decay,
        gradient_accumulation_steps=chosen.gradient_accumulation,
        max_grad_norm=chosen.max_grad_norm,
        logging_steps=chosen.logging_steps,
        logging_nan_inf_filter=False,
        # `ScheduleCallback` asks for evaluations and checkpoints; these let Trainer keep the best of them.
        eval_strategy="steps",
        eval_steps=NO_LIMIT,
        save_strategy="steps",
        save_steps=NO_LIMIT,
        # The best and the last: with 1, Trainer removes the last one when it stops.
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model=TASKS[chosen.task].best_metric,
        greater_is_better=TASKS[chosen.task].greater_is_better,
        bf16=chosen.precision == "bfloat16",
        use_cpu=on_cpu,
        ddp_backend="gloo" if on_cpu and distributed.is_torchelastic_launched() else None,
        ddp_find_unused_parameters=False,
        seed=chosen.seed,
        include_num_input_tokens_seen="non_padding",
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=False,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        log_level_replica="error",
    )


def _trainer(
    recipe: Recipe, arguments: TrainingArguments, model: PreTrainedModel, data: TaskData
) -> tuple[CountingTrainer, ScheduleCallback]:
    chosen = recipe.training
    schedule = Schedule(chosen.max_steps or NO_LIMIT, chosen.max_minutes, chosen.warmup_ratio, chosen.num_evaluations)
    trainer = CountingTrainer(model=model, args=arguments, recipe=chosen, data=data, schedule=schedule)
    if chosen.epochs is not None:
        schedule.max_steps = min(schedule.max_steps, math.ceil(chosen.epochs * trainer.steps_in_epoch))
    arguments.max_steps = schedule.max_steps
    trainer.remove_callback(PrinterCallback)
    keeper = ScheduleCallback(schedule)
    trainer.add_callback(keeper)
    if chosen.early_stopping_patience is not None:
        trainer.add_callback(EarlyStoppingCallback(chosen.early_stopping_patience))
    return trainer, keeper


def _check_processes(arguments: TrainingArguments, model: PreTrainedModel) -> None:
    if arguments.world_size > 1 and model.config.layer_drop:
        # Each would leave out others, and wait for gradients that nobody has.
        raise ReformerError(f"model.layer_drop = {model.config.layer_drop} runs in one process; leave it out")
