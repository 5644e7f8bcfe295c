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
    PreTrainedTokenizerFast,
    PrinterCallback,
    TrainingArguments,
    set_seed,
)
from transformers.integrations.integration_utils import TensorBoardCallback

from reformer import __version__
from reformer.data import Document, byte_tokenizer, character_tokenizer, load_tokenizer
from reformer.errors import ReformerError
from reformer.models import ReformerConfig
from reformer.training.curve import draw_curve
from reformer.training.display import Display
from reformer.training.examples import Collator, Examples
from reformer.training.pace import Pace, PaceKeeper
from reformer.training.predict import evaluate
from reformer.training.recipe import Recipe, TokenizerRecipe
from reformer.training.run import (
    CHECKPOINTS,
    CURVE,
    LOGS,
    Run,
    check_free,
    find_checkpoint,
    make_folder,
    no_progress_bars,
    save_model,
    write_metrics,
)
from reformer.training.splits import Splits, load_splits
from reformer.training.tasks import TASKS, Task
from reformer.training.trainer import DocumentTrainer

# Where only minutes bound a run, no number of steps may.
NO_LIMIT = 10**9


class InterruptedRunError(ReformerError):
    """Training was stopped by Ctrl-C; the message says what was kept."""

    # What a shell reports of a program that Ctrl-C has ended.
    exit_status = 130


def train(
    recipe: Recipe,
    output: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Train the recipe's model and leave it in the folder `output`; returns what is in its `metrics.json`.

    The best weights by the task's score on the validation documents are kept, and at the end measured on the test
    documents, if there are any. Started by `torchrun`, the processes share the batches.

    With `resume`, an interrupted run goes on from its last checkpoint as if it had not been interrupted. Of a
    checkpoint only tensors and plain numbers are read: nothing in it can run code.

    Raises:
        RunError: `output` is in use, or there is nothing to resume.
        DataError: something in the documents is wrong.
        DivergedError: the loss is no number any more; the checkpoints stay.
        InterruptedRunError: Ctrl-C; the checkpoint is saved.
    """
    folder, console = Path(output), console or Console(stderr=True)
    arguments = _arguments(recipe, folder)
    checkpoint = find_checkpoint(folder, recipe) if resume else None
    if not resume:
        check_free(folder, overwrite=overwrite)
    if recipe.training.num_threads is not None:
        torch.set_num_threads(recipe.training.num_threads)
    with arguments.main_process_first(local=False):
        splits = load_splits(recipe.data, recipe.training.seed)
    task = TASKS[recipe.training.task]
    labels = task.labels(splits.train)
    tokenizer = make_tokenizer(recipe.tokenizer, splits)
    set_seed(recipe.training.seed)
    model = task.head(_config(recipe, tokenizer, labels))
    learn_from, choose_with = _examples(splits, tokenizer, task, labels, model.config.max_position_embeddings)
    main = arguments.process_index == 0
    if main:
        _introduce(console, splits, model, folder)
        if not resume:
            make_folder(folder, recipe)
    trainer, keeper = _trainer(recipe, arguments, model, tokenizer, learn_from, choose_with, labels)
    display = Display(console, keeper.pace, task.best_metric)
    trainer.add_callback(display)
    if main:
        trainer.add_callback(TensorBoardCallback(SummaryWriter(str(folder / LOGS))))
    try:
        _run(trainer, keeper, checkpoint, folder)
    finally:
        display.close()
    if not main:
        return {}
    run = Run(folder, recipe, task, model.eval(), tokenizer)
    metrics = _metrics(trainer, run, splits)
    save_model(model, tokenizer, folder)
    draw_curve(trainer.state.log_history, task.best_metric, folder / CURVE)
    write_metrics(metrics, folder)
    shutil.rmtree(folder / CHECKPOINTS)
    return metrics


def make_tokenizer(recipe: TokenizerRecipe, splits: Splits) -> PreTrainedTokenizerFast:
    """The recipe's tokenizer, its characters counted in the training documents alone."""
    if recipe.kind == "byte":
        return byte_tokenizer()
    if recipe.kind != "character":
        tokenizer = load_tokenizer(recipe.kind)
        if tokenizer.pad_token_id is None:
            raise ReformerError(f"tokenizer.kind = {recipe.kind!r}: this tokenizer has no padding token; add one to it")
        return tokenizer
    chosen = recipe.model_dump(include={"vocab_size", "min_frequency"}, exclude_none=True)
    return character_tokenizer((document.text for document in splits.train), **chosen)


def _config(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, labels: list[str]) -> ReformerConfig:
    """The recipe's model, with what tokenizer and documents decide."""
    pad_token_id = tokenizer.pad_token_id
    assert isinstance(pad_token_id, int)
    return ReformerConfig(
        **recipe.model,
        vocab_size=len(tokenizer),
        pad_token_id=pad_token_id,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )


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
        greater_is_better=True,
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


def _examples(
    splits: Splits, tokenizer: PreTrainedTokenizerFast, task: Task, labels: list[str], longest: int
) -> tuple[Examples, Examples]:
    label_ids = {label: index for index, label in enumerate(labels)}
    learn_from = Examples(splits.train, tokenizer, task, label_ids, longest)
    choose_with = Examples(splits.validation, tokenizer, task, label_ids, longest)
    # Used at the end but checked now: a label nobody has seen must not cost a whole run.
    Examples(splits.test, tokenizer, task, label_ids, longest)
    return learn_from, choose_with


def _trainer(
    recipe: Recipe,
    arguments: TrainingArguments,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    learn_from: Examples,
    choose_with: Examples,
    labels: list[str],
) -> tuple[DocumentTrainer, PaceKeeper]:
    chosen, task = recipe.training, TASKS[recipe.training.task]
    pace = Pace(chosen.max_steps or NO_LIMIT, chosen.max_minutes, chosen.warmup_ratio, chosen.evaluations)
    trainer = DocumentTrainer(
        model=model,
        args=arguments,
        data_collator=Collator(task, model.config.pad_token_id),
        train_dataset=learn_from,
        eval_dataset=choose_with,
        recipe=chosen,
        task=task,
        labels=labels,
        pace=pace,
    )
    if chosen.epochs is not None:
        pace.max_steps = min(pace.max_steps, math.ceil(chosen.epochs * trainer.steps_in_epoch))
    arguments.max_steps = pace.max_steps
    trainer.remove_callback(PrinterCallback)
    keeper = PaceKeeper(pace)
    trainer.add_callback(keeper)
    if chosen.early_stopping_patience is not None:
        trainer.add_callback(EarlyStoppingCallback(chosen.early_stopping_patience))
    return trainer, keeper


def _run(trainer: DocumentTrainer, keeper: PaceKeeper, checkpoint: str | None, folder: Path) -> None:
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
        keeper.release()
    if keeper.interrupted:
        raise InterruptedRunError(kept % f"everything up to step {trainer.state.global_step:,} is kept")


def _introduce(console: Console, splits: Splits, model: PreTrainedModel, folder: Path) -> None:
    def size(documents: list[Document]) -> str:
        return f"{len(documents):,} documents, {sum(len(document.text) for document in documents):,} characters"

    console.print(f"learning from {size(splits.train)}", highlight=False)
    console.print(f"choosing with {size(splits.validation)}", highlight=False)
    if splits.test:
        console.print(f"reporting on  {size(splits.test)}", highlight=False)
    weights = sum(parameter.numel() for parameter in model.parameters())
    console.print(f"{weights:,} weights, {torch.get_num_threads()} threads, into {folder}", highlight=False)


def _metrics(trainer: DocumentTrainer, run: Run, splits: Splits) -> dict[str, Any]:
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
        if name.removeprefix("eval_") in ("loss", *run.task.score(run.labels).result())
    }
    return {
        "task": run.recipe.training.task,
        "validation": {"step": state.best_global_step, **scores},
        "test": evaluate(run, splits.test) if splits.test else None,
        "training": {
            "steps": state.global_step,
            "epochs": state.epoch,
            "minutes": pace.seconds / 60,
            "tokens": state.num_input_tokens_seen,
            "tokens_per_second": state.num_input_tokens_seen / pace.seconds,
            "weights": sum(parameter.numel() for parameter in run.model.parameters()),
            "threads": torch.get_num_threads(),
            "processes": trainer.args.world_size,
        },
        "versions": {
            "reformer": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }
