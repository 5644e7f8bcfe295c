"""Trial of a run's trainer: its own steps and evaluations, measured on batches from which nothing is learned."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from reformer.nn import ResidualSequence, ReversibleSequence
from reformer.nn.recomputation import is_run_again
from reformer.training.memory import free_memory, resident, watched
from reformer.training.plan.batches import GROWTH, Source
from reformer.training.plan.growth import Shape
from reformer.training.trainer import CountingTrainer

REPEATED, REPEATED_BELOW = 4, 0.2
"""Calls of a batch, and the seconds below which they are so many, and not two."""

MOST_SHARE_OF_FREE = 0.5
"""Of the memory that is free, above which no larger batch is tried."""


@dataclass(frozen=True)
class Measured:
    """Time and memory of one call, the latter beyond what was held before the first one."""

    shape: Shape
    seconds: float
    bytes: float


@dataclass(frozen=True)
class Kind:
    """How a batch is computed: batches of one kind cost more with their tokens, those of two may not.

    Args:
        parts: into which its rows are divided, one to a thread.
        again: of each stack, whether its backward pass runs layers again.
    """

    parts: int
    again: tuple[bool, ...]


class Trial:
    """Steps and evaluations of a trainer, measured. Nothing is learned, and random states are afterwards as before.

    Args:
        trainer: of a single process. It may go on to train.
        longest: seconds of a call beyond which no larger batch is measured, but for the second.
    """

    def __init__(self, trainer: CountingTrainer, longest: float) -> None:
        self._trainer, self._longest = trainer, longest
        self.held = resident()
        """Bytes of this process before anything was measured. What libraries keep from then on counts as a batch's."""
        self.warm_up = 0.0
        """Seconds by which first calls took longer than later ones: they compile, load and allocate."""
        model: Any = trainer.model
        self.model: PreTrainedModel = model
        # As `train` does it, with the precision in which the model computes; a second time it does nothing.
        trainer.accelerator.prepare_model(model)
        trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
        kinds = ((ReversibleSequence, "reversible"), (ResidualSequence, "recompute"))
        self._stacks: list[tuple[Any, str]] = [
            (module, name) for module in model.modules() for kind, name in kinds if isinstance(module, kind)
        ]

    def close(self) -> None:
        """End the trainer's threads, and leave the model as it was."""
        self._trainer.close()
        # What accelerate has put into the place of the class's method, where another precision computes.
        for name in ("forward", "_original_forward", "_is_accelerate_prepared"):
            self.model.__dict__.pop(name, None)

    def kind(self, shape: Shape) -> Kind:
        """How a batch of a shape is computed."""
        parts = min(self._trainer.most_parts, shape.rows)
        # As large as the streams of a part, in one number.
        streams = torch.empty(1, device=self.model.device).expand(
            -(-shape.rows // parts), shape.length, self.model.config.hidden_size
        )
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=bool(self._trainer.args.bf16)):
            again = [is_run_again(getattr(module, name), streams, module.sublayers) for module, name in self._stacks]
        return Kind(parts, tuple(again))

    def steps(self, source: Source, kind: Kind) -> list[Measured]:
        """Batches of growing size with the gradients of their losses, up to the whole source or to what takes long."""
        with self._computed_as(kind), self._undone():
            return list(self._growing(source, kind.parts, self._step))

    def evaluations(self, source: Source) -> list[Measured]:
        """The same for the evaluation of a batch."""
        with self._undone():
            self.model.eval()
            return list(self._growing(source, 1, self._evaluate))

    def optimizer_seconds(self, source: Source) -> float | None:
        """The time of what ends a step, once gradients are there: their norm, and new weights. None where the
        optimizer's averages do not fit into memory."""
        learned = sum(each.numel() * each.element_size() for each in self.model.parameters() if each.requires_grad)
        if 3 * learned > free_memory():
            return None
        trainer = self._trainer
        shape = next(source.growing(1))
        with self._undone():
            self._step(source.cut(shape))
            optimizer = trainer.accelerator.prepare_optimizer(trainer.create_optimizer())
            for group in optimizer.param_groups:
                # Weights stay as they are.
                group["lr"] = 0.0
            found = []
            for _ in range(3):
                begun = time.perf_counter()
                if trainer.args.max_grad_norm:
                    trainer.accelerator.clip_grad_norm_(self.model.parameters(), trainer.args.max_grad_norm)
                optimizer.step()
                self._wait()
                found.append(time.perf_counter() - begun)
            # The first one allocates the averages.
            return median(found[1:])

    def _growing(self, source: Source, parts: int, call: Callable[[dict[str, Any]], object]) -> Iterator[Measured]:
        for number, shape in enumerate(source.growing(parts)):
            batch = source.cut(shape)
            # Memory that is free is given back before the first call alone, which has to get it again. A run keeps it.
            resident()
            calls = [self._measured(batch, call)]
            while len(calls) < (REPEATED if calls[-1][0] < REPEATED_BELOW else 2):
                calls.append(self._measured(batch, call))
            # What else the machine does makes some of them longer, and none shorter.
            seconds = min(each for each, _ in calls)
            if not number:
                self.warm_up += max(0.0, calls[0][0] - seconds)
            yield Measured(shape, seconds, max(each for _, each in calls))
            # Full attention takes as many times the memory of pairs.
            largest = GROWTH**2 * max(each for _, each in calls)
            # Of one batch alone nobody knows what part of it is there whatever its size.
            if (number and seconds > self._longest) or largest > MOST_SHARE_OF_FREE * free_memory():
                return

    def _measured(self, batch: dict[str, Any], call: Callable[[dict[str, Any]], object]) -> tuple[float, float]:
        """Seconds, and bytes beyond those that were held before anything was measured."""
        self.model.zero_grad(set_to_none=True)
        with watched() as peaks:
            begun = time.perf_counter()
            call(batch)
            self._wait()
            seconds = time.perf_counter() - begun
        return seconds, max(0, max(peaks) - self.held)

    def _step(self, batch: dict[str, Any]) -> None:
        """What `Trainer` does with each batch of a step."""
        trainer = self._trainer
        batches, items = trainer.get_batch_samples(iter([batch]), 1, trainer.args.device)
        trainer.training_step(self.model, batches[0], items)

    def _evaluate(self, batch: dict[str, Any]) -> None:
        self._trainer.prediction_step(self.model, batch, False)

    def _wait(self) -> None:
        if self.model.device.type != "cpu":
            torch.accelerator.synchronize()

    @contextmanager
    def _computed_as(self, kind: Kind) -> Iterator[None]:
        """Each stack that chooses by the size of its batch as it does for that kind of batches."""
        before = [(module, name, getattr(module, name)) for module, name in self._stacks]
        try:
            for (module, name), again in zip(self._stacks, kind.again, strict=True):
                setattr(module, name, again)
            yield
        finally:
            for module, name, value in before:
                setattr(module, name, value)

    @contextmanager
    def _undone(self) -> Iterator[None]:
        model: nn.Module = self.model
        was_training = model.training
        devices = [] if self.model.device.type == "cpu" else [self.model.device]
        try:
            with torch.random.fork_rng(devices, device_type=self.model.device.type), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            model.train(was_training)
            model.zero_grad(set_to_none=True)
