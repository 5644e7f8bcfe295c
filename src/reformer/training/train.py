"""Training run: a recipe in, a run folder out."""

import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console
from transformers import PreTrainedModel, set_seed

from reformer.files import write
from reformer.finetuning import Adapter
from reformer.interruption import StoppedError
from reformer.models.progress_bars import no_progress_bars
from reformer.recipe import Recipe
from reformer.report.page import report_page
from reformer.runs.card import model_card
from reformer.runs.folder import (
    CARD,
    CHECKPOINTS,
    CURVE,
    METRICS,
    REPORT,
    START,
    RunError,
    end_finished,
    end_move,
    make_folder,
    remove_unneeded,
    save_model,
    write_calibration,
    write_metrics,
)
from reformer.tasks.base import Reviewed, Run, Task, TaskData
from reformer.tasks.model_setup import PretrainedStart, local_place
from reformer.tasks.recipe_checks import check
from reformer.tasks.registry import TASKS
from reformer.terminal import PlainConsole, say
from reformer.training.baseline import measured_baseline
from reformer.training.callbacks import ReportingCallback, build_callbacks
from reformer.training.divided_rows import check_model
from reformer.training.initial_model import (
    fit_wide_part,
    has_wide_part,
    initial_model,
    keep_frequent_ngrams,
    load_start,
)
from reformer.training.learning_curve import plot_learning_curve
from reformer.training.lora_training import LoraTraining
from reformer.training.model_changes import ModelChanges
from reformer.training.plan.first_line import say_plan
from reformer.training.processes import check_processes, connected, is_lost
from reformer.training.report import count_weights, introduce, introduce_frozen, run_metrics
from reformer.training.resume import check_begun, go_on, keep_start, kept_changes
from reformer.training.run_inputs import input_digests, keep_inputs
from reformer.training.run_lock import locked
from reformer.training.setup import begin, build_trainer, process_state_restored
from reformer.training.sharded_checkpoints import Blueprint
from reformer.training.trainer import CountingTrainer


class InterruptedRunError(StoppedError):
    """Training was stopped on request; the message says what was kept."""


@process_state_restored()
def train(
    recipe: Recipe,
    output: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    accept_changed_data: bool = False,
    plan: bool = True,
    console: Console | None = None,
) -> dict[str, Any]:
    """Train the recipe's model and leave it in the folder `output`; returns what is in its `metrics.json`.

    The best weights by the task's score on the validation part are kept, and at the end measured on the test part,
    if there is one. Started by `torchrun`, the processes share the batches, or with `training.sequence_parallel` so
    many of them the rows of each, and all but the first return no metrics.

    With `resume`, an interrupted run goes on from its newest whole checkpoint as if it had not been interrupted, or
    from the beginning where it has none yet; a damaged checkpoint is skipped, and the console says why. Of a checkpoint
    only tensors and plain numbers are read: nothing in it can run code. Data or a tokenizer that have changed since the
    run began are refused, but for `accept_changed_data`. While it trains, no other process can train in the folder.

    With `plan`, a new run in one process first says the time and the memory that it will take, from a second or two of
    short steps, and one that cannot fit into memory is refused.

    Random states, the number of threads and transformers' verbosity are set for the run, and afterwards put back.

    Raises:
        RecipeError: the recipe's task cannot use it.
        RunError: `output` is in use, there is nothing to resume, the data of a resumed run have changed, or a
            checkpoint cannot be written.
        FinetuningError: the recipe starts from a model that is not there or does not fit.
        DataError: something in the data is wrong.
        TooLargeError: the run cannot fit into memory, and `plan` is set.
        ProcessesError: the processes, or the model, do not suit the recipe, or do not meet.
        LostProcessError: another process of the run has ended.
        DivergedError: the loss is NaN or infinite; the checkpoints stay.
        InterruptedRunError: Ctrl-C or a termination request; the checkpoint is saved.
    """
    check(recipe)
    check_processes(recipe)
    if accept_changed_data and not resume:
        raise RunError("accept_changed_data: only a run that is resumed has data that can have changed; give resume")
    folder = Path(output)
    if resume:
        # Before the lock, which would make the folder that a run folder without a run is in.
        check_begun(folder)
    # Of several processes, the first holds the lock for all.
    is_first = int(os.environ.get("RANK", "0")) == 0
    with locked(folder) if is_first else nullcontext():
        if is_first:
            end_move(folder)
        if resume and (folder / METRICS).is_file():
            return end_finished(folder) if is_first else {}
        with connected(recipe, folder):
            return _train(recipe, folder, resume, overwrite, accept_changed_data, plan, console)


def _train(
    recipe: Recipe,
    folder: Path,
    resume: bool,
    overwrite: bool,
    accept_changed_data: bool,
    plan: bool,
    console: Console | None,
) -> dict[str, Any]:
    """`train`, in a folder that no other process trains in."""
    # Begin: what a resumed run goes on from, the processes and the threads.
    recipe, resumed, arguments = begin(recipe, folder, resume=resume, overwrite=overwrite)
    checkpoint = None if resumed is None else resumed.checkpoint
    is_main = arguments.process_index == 0
    console = (console or PlainConsole(stderr=True)) if is_main else Console(quiet=True)
    task = TASKS[recipe.training.task].for_recipe(recipe)

    # Data and initial model. What the first process fetches or writes to the cache, the others find there.
    with arguments.main_process_first(local=False):
        start = load_start(recipe, folder, resume=checkpoint is not None)
        data = task.load_data(recipe, start)
    set_seed(recipe.training.seed)
    if is_main and resumed is not None:
        go_on(resumed, recipe, data, folder, console, accept_changed_data=accept_changed_data)
    model, changes = initial_model(task, data, recipe, start)

    check_model(recipe, model)
    data.weigh_loss(model)

    # Report: what is trained, on the console and for a resumed run in the folder.
    introduce(console, recipe, data, model, folder)
    if checkpoint is not None:
        changes = changes if start is None else kept_changes(local_place(start.place), folder / START)
    else:
        for line in changes.in_words(task.best_metric):
            say(console, line)
        if is_main:
            _fill_folder(folder, recipe, data, model, start, changes, console, anew=resumed is None)
        keep_frequent_ngrams(model, data, recipe.training, start)
    fit_wide_part(model, data, changes, start, resumed=checkpoint is not None)
    baseline = measured_baseline(recipe, task, data, folder, console, anew=accept_changed_data) if is_main else None

    # Trainer and callbacks.
    lora = LoraTraining.begin(model, recipe.finetune, changes)
    if lora is not None or isinstance(recipe.finetune.freeze, list):
        introduce_frozen(console, model)
    # A wide part has its score before the first step, and the best weights are never worse than that.
    arguments.eval_on_start = checkpoint is None and has_wide_part(model)
    blueprint = Blueprint(model, lora) if recipe.training.fsdp and is_main else None
    trainer = build_trainer(recipe, arguments, model, data, folder, checkpoint)
    if plan and checkpoint is None and arguments.world_size == 1:
        say_plan(trainer, recipe, data, console)
    evaluation_batches = len(trainer.get_eval_dataloader())
    callbacks = build_callbacks(
        *(recipe, task, data, model, trainer.schedule, console, checkpoint, evaluation_batches),
        standstill=lambda: trainer.standstill,
    )
    _run(trainer, callbacks, checkpoint, folder)

    # Finish: the first process leaves the run folder.
    if not is_main:
        return {}
    learned_weights = count_weights(model, learned=True)
    if blueprint is not None:
        # The others have left: from here on all weights are here.
        model, lora = blueprint.filled(trainer.best_or_newest(), arguments.device)
    saved = model if lora is None else lora.finish(model)
    run = Run(folder, recipe, task, model.eval(), data.processor)
    start_metrics = None if start is None else {"from": start.place, **changes.to_json()}
    reviewed = data.review(run)
    metrics = run_metrics(trainer, callbacks, run, data, learned_weights, start_metrics, baseline, reviewed)
    _save(run, saved, trainer.state.log_history, metrics, reviewed)
    return metrics


def _fill_folder(
    folder: Path,
    recipe: Recipe,
    data: TaskData,
    model: PreTrainedModel,
    start: PretrainedStart | None,
    changes: ModelChanges,
    console: Console,
    *,
    anew: bool,
) -> None:
    """Make the run folder, unless an interrupted run has, and keep in it what a resumed run will need."""
    if anew:
        kept = make_folder(folder, recipe)
        if kept is not None:
            say(console, f"the run before is kept in {kept} until this one is whole")
    if start is not None:
        keep_start(folder / START, model.config, data.processor, changes)
    keep_inputs(input_digests(recipe, data, folder), folder)


def _run(
    trainer: CountingTrainer, callbacks: Sequence[ReportingCallback], checkpoint: str | None, folder: Path
) -> None:
    """Train to the end, or as far as a request to stop allows."""
    for callback in callbacks:
        trainer.add_callback(callback)
    saved = f"{folder}: stopped; %s. Go on with `reformer train RECIPE --resume`, the same --output and --set"
    stops = trainer.schedule_callback
    try:
        with no_progress_bars(), warnings.catch_warnings():
            # Of FSDP2. Nothing is added in place to what a sub-layer returns.
            warnings.filterwarnings("ignore", ".*returned a view tensor", UserWarning)
            trainer.train(resume_from_checkpoint=checkpoint)
    except KeyboardInterrupt:
        if not any((folder / CHECKPOINTS).glob("checkpoint-*")):
            raise InterruptedRunError(f"{folder}: stopped before the first checkpoint; nothing was kept") from None
        raise InterruptedRunError(saved % "the last checkpoint is kept") from None
    except RuntimeError as error:
        # torchrun asks this process to end, too, which has yet to say why it does.
        stops.ends_itself = is_lost(error)
        raise
    finally:
        if not stops.ends_itself:
            stops.interruption.release()
        trainer.close()
        for callback in callbacks:
            callback.close()
    if stops.request is not None:
        everything = f"everything up to step {trainer.state.global_step:,} is kept"
        raise InterruptedRunError(saved % everything, stops.request)


def _save(
    run: Run[Task],
    model: PreTrainedModel | Adapter,
    history: Sequence[Mapping[str, Any]],
    metrics: dict[str, Any],
    reviewed: Reviewed | None,
) -> None:
    """Write what a finished run leaves, and remove what only a resumed run would need."""
    folder, task = run.folder, run.task
    save_model(model, run.processor, folder)
    baseline = metrics.get("baseline")
    floor = None if baseline is None else baseline["validation"][task.best_metric]
    plot_learning_curve(
        history, task.best_metric, folder / CURVE, greater_is_better=task.greater_is_better, baseline=floor
    )
    if reviewed is not None:
        write_calibration(reviewed.calibration, folder)
        curve = (folder / CURVE).read_bytes()
        page = report_page(folder.resolve().name, reviewed.parts, reviewed.calibration, curve=curve, floor=baseline)
        write(folder / REPORT, page)
    write(folder / CARD, model_card(run, metrics).encode())
    write_metrics(metrics, folder)
    remove_unneeded(folder)
