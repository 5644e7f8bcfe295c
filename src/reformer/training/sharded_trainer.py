"""Trainer of a model whose weights, gradients and optimizer state are sharded between the processes."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedModel, TrainingArguments
from transformers.trainer import SCHEDULER_NAME

from reformer.data.batching.token_batches import Batches
from reformer.parallel import shard_weights
from reformer.training.sharded_checkpoints import load_optimizer, load_weights, save_shards
from reformer.training.trainer import CountingTrainer, fitting


class ShardedTrainingArguments(TrainingArguments):
    """Arguments by which Trainer leaves the model where it is until it is sharded: whole it may not fit elsewhere."""

    @property
    def place_model_on_device(self) -> bool | None:
        return None if self.world_size == 1 else False


class ShardedTrainer(CountingTrainer):
    """A `CountingTrainer` of several processes that each keep their shards of the weights (FSDP2), gathered a sub-layer
    at a time. In one process the weights are whole, and the checkpoints are those that any number can go on with.

    A model gathers its weights whenever it is called, so in an evaluation, too, every process calls it equally often.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.args.world_size > 1:
            shard_weights(self._bare)
            # So that Trainer takes it for what it is, and does not wrap it. Only now, since one that transformers has
            # sharded itself would have no checkpoints of its optimizer.
            self.is_distributed_loading_by_transformers = True
        self._own_batches, self._evaluated = 0, 0

    # Private to Trainer, as are those below that begin with an underscore, read in transformers 5.23.
    def _defer_fsdp_gradient_reduction(self) -> AbstractContextManager[None]:
        # Gradients that were not reduced would be whole ones on each process.
        return nullcontext()

    def get_eval_dataloader(self, eval_dataset: str | Dataset | None = None) -> DataLoader:
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        batches: Any = self._data.batches(dataset, self._recipe, shuffle=False, rank=0, world_size=1)  # pyright: ignore[reportArgumentType]
        shared = _EquallyMany(batches, self.args.process_index, self.args.world_size)
        self._own_batches, self._evaluated = shared.own, 0
        return self._loader(dataset, shared)

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor | Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[None, None, None]:
        self._evaluated += 1
        kept = self._metric, self._loss.clone()
        if self._evaluated > self._own_batches:
            self._metric = self._data.new_metric()
        found = super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        if self._evaluated > self._own_batches:
            self._metric, self._loss = kept
        return found

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        # The weights are written with the optimizer's state.
        if self.args.should_save:
            assert output_dir is not None
            assert isinstance(self.model, PreTrainedModel)
            self.model.config.save_pretrained(output_dir)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        assert self.optimizer is not None
        assert self.lr_scheduler is not None
        save_shards(self._bare, self.optimizer, Path(output_dir))
        if self.args.should_save:
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        with fitting(resume_from_checkpoint):
            load_weights(self._bare, Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        """Nothing: the run reads its best weights whole, in one process."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        assert self.optimizer is not None
        assert self.lr_scheduler is not None
        with fitting(checkpoint):
            load_optimizer(self._bare, self.optimizer, Path(checkpoint))
            self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER_NAME, weights_only=True))
            # Otherwise the rate of the next step would be that of the first.
            for group, rate in zip(self.optimizer.param_groups, self.lr_scheduler.get_last_lr(), strict=True):
                group["lr"] = rate


class _EquallyMany(Batches):
    """Batches of an evaluation shared out between processes, of which each gets equally many: those that would have one
    less get the first one again, as their last.

    Args:
        batches: all of them.
        rank: of this process.
        world_size: how many processes there are.
    """

    def __init__(self, batches: Batches, rank: int, world_size: int) -> None:
        every = list(batches)
        self._batches = every[rank::world_size]
        self.own = len(self._batches)
        """How many are this process's alone."""
        if self.own < math.ceil(len(every) / world_size):
            self._batches.append(every[0])

    def set_epoch(self, epoch: int) -> None:
        """Every epoch has the same order."""

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches)
