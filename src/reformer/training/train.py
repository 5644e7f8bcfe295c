"""A recipe in, a run folder out."""

import math
import shutil
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.console import Console
from torch import distributed
from torch.utils.tensorboard.writer import SummaryWriter
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    PrinterCallback,
    TrainingArguments,
    set_seed,
)
from transformers.integrations.integration_utils import TensorBoardCallback

from reformer import __version__
from reformer.errors import ReformerError
from reformer.finetuning import freeze, transfer
from reformer.models import ReformerConfig, ReformerModel
from reformer.models.quiet import no_progress_bars
from reformer.training.adapting import Adapting, base_changes
from reformer.training.alteration import alterations_in_words, altered
from reformer.training.averaging import WeightAverage
from reformer.training.curve import draw_curve
from reformer.training.display import Display
from reformer.training.interruption import StoppedError
from reformer.training.kept_memory import KeptMemory
from reformer.training.material import Material, Task
from reformer.training.pace import Pace, PaceKeeper
from reformer.training.precision import settled
from reformer.training.recipe import Recipe
from reformer.training.regularisers import Shrinking, regularisers
from reformer.training.run import (
    CHECKPOINTS,
    CURVE,
    LOGS,
    START,
    Run,
    check_free,
    find_checkpoint,
    make_folder,
    save_model,
    write_metrics,
)
from reformer.training.start import Start, changes_in_words, keep_start, kept_changes, kept_start, read_start
from reformer.training.tasks import TASKS
from reformer.training.trainer import PacedTrainer
from reformer.training.unfreezing import Unfreezing

# Where only minutes bound a run, no number of steps may.
NO_LIMIT = 10**9


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
        RunError: `output` is in use, or there is nothing to resume.
        FinetuningError: the recipe starts from a model that is not there or does not fit.
        DataError: something in the data is wrong.
        DivergedError: the loss is no number any more; the checkpoints stay.
        InterruptedRunError: Ctrl-C or a termination request; the checkpoint is saved.
    """
    folder, console = Path(output), console or Console(stderr=True)
    checkpoint = None
    if resume:
        checkpoint, recipe = find_checkpoint(folder, recipe)
    else:
        recipe = settled(recipe)
    arguments = _arguments(recipe, folder)
    if not resume:
        check_free(folder, overwrite=overwrite)
    if recipe.training.num_threads is not None:
        torch.set_num_threads(recipe.training.num_threads)
    task = TASKS[recipe.training.task]
    # What the first process fetches or writes to the cache, the others find there.
    with arguments.main_process_first(local=False):
        start = _start(recipe, folder, resume=resume)
        material = task.prepare(recipe, start)
    set_seed(recipe.training.seed)
    model, changes = _model(task, material, recipe, start)
    if start is None:
        # In a resumed run too: what was told at once is not learned there either.
        material.prime(model)
    main = arguments.process_index == 0
    if main:
        _introduce(console, material, model, recipe, folder)
        for line in (*changes_in_words(changes), *alterations_in_words(changes, task.best_metric)):
            console.print(line, highlight=False)
        if not resume:
            make_folder(folder, recipe)
            if start is not None:
                keep_start(folder / START, material.config, material.processor, changes)
    if not resume:
        _keep_frequent_ngrams(model, material, recipe, further=start is not None and start.model is not None)
    frozen = recipe.finetune.freeze
    if isinstance(frozen, list):
        freeze(model, frozen)
    adapting = None
    if recipe.finetune.lora_rank is not None:
        adapting = Adapting(model, recipe.finetune, kept_changes(folder / START) if resume else changes)
    if main and (adapting is not None or isinstance(frozen, list)):
        _say_frozen(console, model)
    trainer, keeper = _trainer(recipe, arguments, model, material)
    _check_processes(arguments, model)
    shrinking = None
    for each in regularisers(model, recipe.training, keeper.pace):
        trainer.add_callback(each)
        shrinking = each if isinstance(each, Shrinking) else shrinking
    unfreezing = None
    if frozen == "auto":
        unfreezing = Unfreezing(model, task.best_metric, task.greater_is_better, console)
        trainer.add_callback(unfreezing)
    if recipe.training.average_decay is not None:
        trainer.average = WeightAverage(model, recipe.training.average_decay, checkpoint)
        trainer.add_callback(trainer.average)
    kept_memory = KeptMemory(model, console)
    trainer.add_callback(kept_memory)
    display = Display(console, keeper.pace, task, material)
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
    run = Run(folder, recipe, task, model.eval(), material.processor)
    metrics = _metrics(trainer, run, material, learned)
    if start is not None:
        metrics["start"] = {"from": start.place, **kept_changes(folder / START)}
    if unfreezing is not None:
        metrics["start"]["learned"] = unfreezing.chosen
    if shrinking is not None:
        metrics["training"]["zeros"] = shrinking.lasso.zeros()
    save_model(kept, material.processor, folder)
    draw_curve(trainer.state.log_history, task.best_metric, folder / CURVE, greater_is_better=task.greater_is_better)
    write_metrics(metrics, folder)
    shutil.rmtree(folder / CHECKPOINTS)
    if start is not None:
        shutil.rmtree(folder / START)
    return metrics


def _start(recipe: Recipe, folder: Path, *, resume: bool) -> Start | None:
    place = recipe.finetune.start_from
    if place is None:
        return None
    return kept_start(place, folder / START) if resume else read_start(place)


def _model(
    task: Task, material: Material, recipe: Recipe, start: Start | None
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The model to train, and what in it is not as in the model that the run starts from."""
    if start is None or start.model is None:
        return task.head(material.config), {}
    found = transfer(start.model, task.head, material.config)
    changes = {"new": found.new, "dropped": found.dropped, "drawn": found.drawn}
    changes |= base_changes(start.place, recipe.finetune)
    model, told = altered(found.model, recipe.finetune, task, material, recipe.training, found.new)
    assert isinstance(model.config, ReformerConfig)
    material.config = model.config
    return model, changes | told


def _keep_frequent_ngrams(model: PreTrainedModel, material: Material, recipe: Recipe, *, further: bool) -> None:
    backbone = model.base_model
    if not isinstance(backbone, ReformerModel) or model.config.ngram_min_frequency == 1:
        return
    order = material.batches(material.train, recipe.training, shuffle=False, rank=0, world_size=1)
    batches = (material.collate([material.train[index] for index in indices]) for indices in order)
    texts = ((batch["input_ids"], batch["attention_mask"]) for batch in batches)
    backbone.keep_frequent_ngrams(texts, further)


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
        max_grad_norm=chosen.clip,
        logging_steps=chosen.log_steps,
        logging_nan_inf_filter=False,
        # `PaceKeeper` asks for evaluations and checkpoints; these let Trainer keep the best of them.
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
    recipe: Recipe, arguments: TrainingArguments, model: PreTrainedModel, material: Material
) -> tuple[PacedTrainer, PaceKeeper]:
    chosen = recipe.training
    pace = Pace(chosen.max_steps or NO_LIMIT, chosen.max_minutes, chosen.warmup_ratio, chosen.evaluations)
    trainer = PacedTrainer(model=model, args=arguments, recipe=chosen, material=material, pace=pace)
    if chosen.epochs is not None:
        pace.max_steps = min(pace.max_steps, math.ceil(chosen.epochs * trainer.steps_in_epoch))
    arguments.max_steps = pace.max_steps
    trainer.remove_callback(PrinterCallback)
    keeper = PaceKeeper(pace)
    trainer.add_callback(keeper)
    if chosen.early_stopping_patience is not None:
        trainer.add_callback(EarlyStoppingCallback(chosen.early_stopping_patience))
    return trainer, keeper


def _run(trainer: PacedTrainer, keeper: PaceKeeper, checkpoint: str | None, folder: Path) -> None:
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


def _introduce(console: Console, material: Material, model: PreTrainedModel, recipe: Recipe, folder: Path) -> None:
    for line in material.sizes():
        console.print(line, highlight=False)
    weights = sum(parameter.numel() for parameter in model.parameters())
    chosen = f"{torch.get_num_threads()} threads, products in {recipe.training.precision}"
    console.print(f"{weights:,} weights, {chosen}, into {folder}", highlight=False)


def _check_processes(arguments: TrainingArguments, model: PreTrainedModel) -> None:
    if arguments.world_size > 1 and model.config.layer_drop:
        # Each would leave out others, and wait for gradients that nobody has.
        raise ReformerError(f"model.layer_drop = {model.config.layer_drop} runs in one process; leave it out")


def _say_frozen(console: Console, model: PreTrainedModel) -> None:
    console.print(f"{_learning(model):,} of the weights learn, the others are frozen", highlight=False)


def _learning(model: PreTrainedModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _metrics(trainer: PacedTrainer, run: Run[Task], material: Material, learned: int) -> dict[str, Any]:
    """What `metrics.json` says: how it was trained, and the scores of the weights that were kept."""
    state, pace = trainer.state, trainer.pace
    measured = next(
        entry
        for entry in state.log_history
        if entry["step"] == state.best_global_step and f"eval_{run.task.best_metric}" in entry
    )
    scores = {
        name.removeprefix("eval_"): value
        for name, value in measured.items()
        if name.removeprefix("eval_") in ("loss", *material.score().result())
    }
    return {
        "task": run.recipe.training.task,
        "validation": {"step": state.best_global_step, **scores},
        "test": material.report(run),
        "training": {
            "steps": state.global_step,
            "epochs": state.epoch,
            "minutes": pace.seconds / 60,
            "tokens": state.num_input_tokens_seen,
            "tokens_per_second": state.num_input_tokens_seen / pace.seconds,
            "weights": sum(parameter.numel() for parameter in run.model.parameters()),
            "learned_weights": learned,
            "threads": torch.get_num_threads(),
            "precision": run.recipe.training.precision,
            "processes": trainer.args.world_size,
        },
        "versions": {
            "reformer": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }
