"""transformers' Trainer with batches of any lengths and metrics that are counted."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import EvalLoopOutput

from reformer.data.batching.token_batches import Batches
from reformer.errors import ReformerError, disk_error, reason_and_remedy
from reformer.metrics.base import StandstillMetric
from reformer.models import ReformerPreTrainedModel
from reformer.parallel import OF_TOKENS, SequenceGroup, parallelize, shard_sequence, whole_rows
from reformer.recipe import Recipe
from reformer.runs.folder import RunError
from reformer.tasks.base import TaskData
from reformer.training.batch_parts import PartThreads
from reformer.training.callbacks.averaging import WeightAverage
from reformer.training.callbacks.base import ReportingCallback
from reformer.training.checkpoints import (
    UNFINISHED_CHECKPOINT,
    best_checkpoint,
    checkpoint_name,
    checkpoints_in,
    keep_newest_and_best,
    publish,
    remove_unfinished,
)
from reformer.training.parameter_groups import parameter_groups
from reformer.training.schedule import Schedule, ScheduleCallback


class DivergedError(ReformerError):
    """The loss is NaN or infinite."""


class CountingTrainer(Trainer):
    """A `Trainer` with the batches of its data, the learning rate of a `Schedule`, and metrics counted batch by batch.

    Evaluation keeps counts and nothing else: no logits, no predictions, whatever the size of the set. On several
    processes each measures its own share, and the counts are added up. With a `WeightAverage` among the callbacks the
    average is evaluated, not the weights as they are.

    With a `sequence` group its processes read the same batches, of which each trains on a part of every row. Evaluation
    reads whole rows, each process other ones.

    A checkpoint is written in a folder of its own and moved to its place when it is whole, with its digests.
    """

    def __init__(
        self,
        *args: Any,
        recipe: Recipe,
        data: TaskData,
        schedule: Schedule,
        sequence: SequenceGroup | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            *args,
            data_collator=data.collate,
            train_dataset=data.train,
            eval_dataset=data.validation,
            **kwargs,
        )
        self.schedule = schedule
        self.schedule_callback = ScheduleCallback(schedule)
        self._recipe, self._finetune, self._data = recipe.training, recipe.finetune, data
        self.model_accepts_loss_kwargs |= _item_count(self.model) is not None
        self._sequence, self._parts = sequence, 1 if sequence is None else sequence.processes
        threads = torch.get_num_threads()
        alone = self.args.device.type == "cpu" and self.args.world_size == 1
        self._threads = PartThreads(threads) if alone and threads > 1 else None
        # All processes leave out the same layers.
        self._layer_draws = torch.Generator() if self.args.world_size > 1 else None
        if isinstance(self._bare, ReformerPreTrainedModel):
            self._bare.draw_dropped_layers_from(self._layer_draws)
        self._writing_in: Path | None = None
        self._metric = data.new_metric()
        self.standstill: str | None = None
        """What the last evaluation has seen where nothing was found, or one answer given everywhere; else None."""
        # Summed loss, and over how many labels.
        self._loss = torch.zeros(2, dtype=torch.float64)
        self._order = self._batches(self.train_dataset, shuffle=True)
        self.steps_in_epoch = math.ceil(len(self._order) / recipe.training.gradient_accumulation)
        self.add_callback(_EpochOrder(self._order, self.steps_in_epoch))
        self.add_callback(_BestCheckpoint())
        self.add_callback(self.schedule_callback)

    def get_train_dataloader(self) -> DataLoader:
        return self._loader(self.train_dataset, self._order)

    def get_eval_dataloader(self, eval_dataset: str | Dataset | None = None) -> DataLoader:
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        return self._loader(dataset, self._batches(dataset, shuffle=False))

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        if self.optimizer is None:
            trained = self.model
            assert isinstance(trained, PreTrainedModel)
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, trained)
            decayed = frozenset(self.get_decay_parameter_names(trained))
            rate, decay = self.args.learning_rate, self.args.weight_decay
            self.optimizer = kind(parameter_groups(trained, self._finetune, rate, decay, decayed), **options)
        assert isinstance(self.optimizer, Optimizer)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> LambdaLR:
        if self.lr_scheduler is None:
            optimizer = optimizer or self.optimizer
            assert isinstance(optimizer, Optimizer)
            self.lr_scheduler = LambdaLR(optimizer, self.schedule)
            # Private to Trainer, read in transformers 5.23: without it, a second `train()` would go on with the
            # scheduler of the first one, whose rate has come to zero.
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def get_batch_samples(
        self, epoch_iterator: Iterator[dict[str, Any]], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Any]], Tensor | int | None]:
        # Seeded by the step: a generator that ran through would draw other numbers in a resumed run.
        step = (self._recipe.seed, self.state.global_step)
        generator = torch.Generator().manual_seed(_seed(*step, self.args.process_index // self._parts))
        if self._layer_draws is not None:
            self._layer_draws.manual_seed(_seed(*step))
        augmented = (self._data.augment(batch, generator) for batch in epoch_iterator)
        batches, items = super().get_batch_samples(augmented, num_batches, device)
        counted = self._counted_by_model(batches, device)
        return batches, items if counted is None else counted

    def _counted_by_model(self, batches: Sequence[dict[str, Any]], device: torch.device) -> Tensor | None:
        """The number of items of a model whose loss is not the mean over `labels` of classes; None without one."""
        count = _item_count(self.model)
        if count is None or not batches:
            return None
        items = torch.stack([count(batch) for batch in batches]).sum().to(device)
        if self.args.average_tokens_across_devices and self.args.world_size > 1:
            items = self.accelerator.gather(items).sum()  # pyright: ignore[reportAttributeAccessIssue]
        # As what it is divided by: a step of batches without any item changes nothing.
        return items.clamp_min(1)

    def compute_loss(self, model: nn.Module, inputs: dict[str, Tensor | Any], *args: Any, **options: Any) -> Any:
        if self._sequence is None:
            return super().compute_loss(model, inputs, *args, **options)
        # Items are counted on every process, and gradients averaged over all, of which so many have a part each of what
        # belongs to one loss.
        return super().compute_loss(model, self._own_part(inputs, self._sequence), *args, **options) * self._parts

    # Private to Trainer, read in transformers 5.23.
    def _track_num_input_tokens(self, inputs: dict[str, Tensor | Any]) -> None:
        super()._track_num_input_tokens(inputs if self._sequence is None else self._own_part(inputs, self._sequence))

    def _own_part(self, inputs: dict[str, Tensor | Any], group: SequenceGroup) -> dict[str, Any]:
        """This process's part of a batch. Labels of whole texts may be as many as a row has tokens."""
        whole = set() if getattr(self._bare, "labels_of_tokens", True) else {"labels"}
        return shard_sequence(inputs, group, of_tokens=[name for name in OF_TOKENS if name not in whole])

    def training_step(
        self, model: nn.Module, inputs: dict[str, Tensor | Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        if self._sequence is not None:
            parallelize(self._bare, self._sequence)
            try:
                # The loss is logged as it is.
                return super().training_step(model, inputs, num_items_in_batch) / self._parts
            finally:
                whole_rows(self._bare)
        # Without the number of items a part would not know its share of the loss.
        threads = self._threads if num_items_in_batch is not None else None
        parts = [] if threads is None else threads.split(inputs)
        if threads is None or len(parts) == 1:
            return super().training_step(model, inputs, num_items_in_batch)
        model.train()

        def loss(model: nn.Module, part: dict[str, Any]) -> Tensor:
            found = self.compute_loss(model, self._prepare_inputs(part), num_items_in_batch=num_items_in_batch)
            assert isinstance(found, Tensor)
            return found

        return threads.backward(model, parts, loss, self.compute_loss_context_manager)

    @property
    def most_parts(self) -> int:
        """Into how many parts of its rows a batch is divided, at most: one to a thread."""
        return 1 if self._threads is None else self._threads.count

    @property
    def _bare(self) -> nn.Module:
        """The model itself, whatever it is trained in."""
        assert isinstance(self.model, nn.Module)
        return self.model

    def close(self) -> None:
        """End the threads that parts of batches are computed in, and let the model draw as it did before."""
        if self._threads is not None:
            self._threads.close()
        if isinstance(self._bare, ReformerPreTrainedModel):
            self._bare.draw_dropped_layers_from(None)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if not math.isfinite(logs.get("loss", 0.0)):
            raise DivergedError(
                f"the loss is {logs['loss']} at step {self.state.global_step}; lower training.learning_rate, "
                "raise training.warmup_ratio, or set training.max_grad_norm"
            )
        super().log(logs | {"minutes": self.schedule.seconds / 60}, start_time)

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor | Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[None, None, None]:
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            measured = self._data.evaluate_batch(model, inputs, self._metric)
        self._loss += torch.tensor(measured, dtype=torch.float64)
        return None, None, None

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> EvalLoopOutput:
        self._metric, self._loss = self._data.new_metric(), torch.zeros(2, dtype=torch.float64)
        average = self._average()
        with average.in_place() if average else nullcontext():
            output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
            reporting = (each for each in self.callback_handler.callbacks if isinstance(each, ReportingCallback))
            reported = {name: value for each in reporting for name, value in each.evaluation_metrics().items()}
        self._metric.counts = self._over_processes(torch.from_numpy(self._metric.counts)).numpy()
        loss, count = self._over_processes(self._loss).tolist()
        metrics = {"loss": loss / max(count, 1), **self._metric.result(), **reported}
        if isinstance(self._metric, StandstillMetric):
            self.standstill = self._metric.standstill
            metrics["constant_predictions"] = float(self.standstill is not None)
        assert output.metrics is not None
        output.metrics.update({f"{metric_key_prefix}_{name}": value for name, value in metrics.items()})
        return output

    # Private to Trainer, read in transformers 5.23, and called with `skip_scheduler` before the first step alone.
    def _evaluate(self, trial: Any, ignore_keys: Any, skip_scheduler: bool = False) -> dict[str, float]:
        metrics = super()._evaluate(trial, ignore_keys, skip_scheduler)
        if skip_scheduler:
            assert self.model is not None
            self._determine_best_metric(metrics, trial)
            self._save_checkpoint(self.model, trial)
        return metrics

    # Private to Trainer, as are the four below, read in transformers 5.23.
    def _run_epoch(self, **options: Any) -> None:
        # Resumed from the checkpoint of its last step, a run has only to be saved; Trainer would take another step.
        if self._has_ended():
            self.control.should_training_stop = True
        else:
            super()._run_epoch(**options)

    def _has_ended(self) -> bool:
        patience = (each for each in self.callback_handler.callbacks if isinstance(each, EarlyStoppingCallback))
        lost = any(each.early_stopping_patience_counter >= each.early_stopping_patience for each in patience)
        return lost or self.schedule.progress(self.state.global_step) >= 1

    def _get_output_dir(self, trial: Any) -> str:
        return super()._get_output_dir(trial) if self._writing_in is None else str(self._writing_in)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        folder = Path(str(self.args.output_dir))
        try:
            self._write_checkpoint(model, trial, folder)
        except Exception as error:
            of_disk = disk_error(error)
            if of_disk is None:
                raise
            raise RunError(
                f"{folder}: the checkpoint of step {self.state.global_step:,} could not be written "
                f"({reason_and_remedy(of_disk)[0]}); those before it are kept; make room, and go on with --resume"
            ) from error

    def _write_checkpoint(self, model: nn.Module, trial: Any, folder: Path) -> None:
        """Write a checkpoint aside, move it to its place, and remove those that are no longer needed."""
        if self.args.should_save:
            remove_unfinished(folder)
        # Each process writes its own random state into it.
        self.accelerator.wait_for_everyone()
        self._writing_in = folder / UNFINISHED_CHECKPOINT
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self._writing_in = None
        self.state.best_model_checkpoint = best_checkpoint(folder, self.state.best_global_step)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            fresh = folder / UNFINISHED_CHECKPOINT / checkpoint_name(self.state.global_step)
            # Again: Trainer has taken the best one to be where this one is written.
            self.state.save_to_json(str(fresh / TRAINER_STATE_NAME))
            average = self._average()
            if average is not None:
                average.save(fresh)
            publish(fresh, folder)
            keep_newest_and_best(folder, self.state.best_model_checkpoint)
        self.accelerator.wait_for_everyone()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        with fitting(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with fitting(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with fitting(checkpoint):
            super()._load_rng_state(checkpoint)

    def best_or_newest(self) -> Path:
        """The checkpoint of the best evaluation; the newest one where no evaluation had a score."""
        best = self.state.best_model_checkpoint
        return checkpoints_in(Path(str(self.args.output_dir)))[0] if best is None else Path(best)

    def _average(self) -> WeightAverage | None:
        return next((each for each in self.callback_handler.callbacks if isinstance(each, WeightAverage)), None)

    def _over_processes(self, counts: Tensor) -> Tensor:
        if self.args.world_size == 1:
            return counts
        total = self.accelerator.reduce(counts.to(self.args.device), reduction="sum")
        assert isinstance(total, Tensor)
        return total.cpu()

    def _batches(self, dataset: Any, *, shuffle: bool) -> Batches:
        # Those of a group train on the same rows.
        sharing = self._parts if shuffle else 1
        return self._data.batches(
            dataset,
            self._recipe,
            shuffle=shuffle,
            rank=self.args.process_index // sharing,
            world_size=self.args.world_size // sharing,
        )

    def _loader(self, dataset: Any, batches: Batches) -> DataLoader:
        # A loader draws a seed whenever it is iterated: without a generator of its own, from the global random state.
        return DataLoader(dataset, batch_sampler=batches, collate_fn=self.data_collator, generator=torch.Generator())


def _seed(*place: int) -> int:
    return int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0])


@contextmanager
def fitting(checkpoint: str | None) -> Iterator[None]:
    """A checkpoint's files that are whole and do not fit the run, as one error."""
    try:
        yield
    except (RuntimeError, ValueError, KeyError, TypeError, IndexError) as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise RunError(
            f"{checkpoint}: this checkpoint does not fit the run ({first}); go on with the data, the tokenizer and "
            "the version that the run was begun with, or begin again with --overwrite"
        ) from error


class _BestCheckpoint(TrainerCallback):
    """Place of the best checkpoint, right also where a resumed run finds its folder moved or by another path."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        state.best_model_checkpoint = best_checkpoint(Path(str(args.output_dir)), state.best_global_step)


def _item_count(model: Any) -> Callable[[dict[str, Any]], Tensor] | None:
    """What counts the items of a batch, where a model has a count of its own."""
    return getattr(model, "count_items", None)


class _EpochOrder(TrainerCallback):
    """Number of the epoch for the order of the batches, right also where a resumed run begins in the middle of one."""

    def __init__(self, batches: Batches, steps_in_epoch: int):
        self._batches, self._steps = batches, steps_in_epoch

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._batches.set_epoch(state.global_step // self._steps)
