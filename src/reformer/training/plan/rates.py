"""Rates of a run: how the time and the memory of its steps and evaluations grow with their batches, by measurement."""

import copy
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from transformers import PreTrainedModel

from reformer.recipe import Recipe
from reformer.tasks.base import TaskData
from reformer.training.plan.batches import Source
from reformer.training.plan.growth import Growth, Shape, fitted
from reformer.training.plan.trial import Kind, Measured, Trial

MOST_KINDS = 3
"""Kinds of batches that are measured: those with the most tokens."""


@dataclass(frozen=True)
class Rate:
    """How time and memory grow with a batch."""

    seconds: Growth
    bytes: Growth

    @staticmethod
    def of(measured: Sequence[Measured], *, pairs: bool, reading: float = 0.0) -> "Rate":
        """That which was measured.

        Args:
            pairs: whether anything grows with pairs of tokens.
            reading: seconds for each token, before a batch is computed with.
        """
        seconds = fitted([(each.shape, each.seconds) for each in measured], pairs=pairs)
        of_bytes = fitted([(each.shape, each.bytes) for each in measured], pairs=pairs)
        return Rate(seconds.more(per_token=reading), of_bytes)


@dataclass(frozen=True)
class Rates:
    """The rates of a run with one model.

    Args:
        steps: of a batch that is learned from, by its kind.
        evaluation: of one that is evaluated.
        optimizer: seconds of what ends a step; None where its averages do not fit into memory.
        warm_up: seconds by which the first step and the first evaluation take longer.
        measured: the batches that were learned from.
    """

    steps: Mapping[Kind, Rate]
    evaluation: Rate
    optimizer: float | None
    warm_up: float
    measured: Sequence[Measured]

    def step(self, kind: Kind) -> Rate:
        """The rate of a kind, or of the nearest that was measured."""
        near = min(self.steps, key=lambda other: (other.again != kind.again, abs(other.parts - kind.parts)))
        return self.steps[near]


class Batches:
    """Batches of a run: the shapes of those that it learns from in an epoch, and of those that it evaluates."""

    def __init__(self, recipe: Recipe, data: TaskData) -> None:
        self._recipe, self._data = recipe, data
        self._train, self._validation = (
            list(data.batches(part, recipe.training, shuffle=shuffle, rank=0, world_size=1))
            for part, shuffle in ((data.train, True), (data.validation, False))
        )
        self.train = self._shapes(data.train, self._train)
        self.validation = self._shapes(data.validation, self._validation)

    @cached_property
    def largest(self) -> Shape:
        """The batch with the most tokens."""
        return max(self.train, key=_size)

    def cut(self, rows: int, length: int) -> "Batches":
        """The same with rows and length of a batch at most these. Batches of fewer rows are more of them."""
        found = copy.copy(self)
        found.__dict__.pop("largest", None)
        found.train = [
            Shape(min(rows, shape.rows - at), min(shape.length, length))
            for shape in self.train
            for at in range(0, shape.rows, rows)
        ]
        return found

    def source(self, shape: Shape, model: PreTrainedModel) -> tuple[Source, float]:
        """A training batch of that shape to cut others of, and the seconds that it took to read."""
        return self._source(self._data.train, self._train[self.train.index(shape)], shape, model, whole=False)

    def validation_source(self, model: PreTrainedModel) -> tuple[Source, float]:
        """The largest batch of an evaluation."""
        shape = max(self.validation, key=_size)
        indices = self._validation[self.validation.index(shape)]
        return self._source(self._data.validation, indices, shape, model, whole=True)

    def _source(
        self, dataset: Any, indices: Sequence[int], shape: Shape, model: PreTrainedModel, *, whole: bool
    ) -> tuple[Source, float]:
        begun = time.perf_counter()
        batch = self._data.collate([dataset[index] for index in indices])
        seconds = time.perf_counter() - begun
        config: Any = model.config
        # Series, images and pairs of texts are whole; and whoever is asked where an answer stands sees all of the text.
        whole = config.is_encoder_decoder or "input_ids" not in batch or (whole and "numbers" in batch)
        return Source(batch, shape, None if whole else batch["input_ids"].shape[1]), seconds

    def _shapes(self, dataset: Any, batches: Iterable[Sequence[int]]) -> list[Shape]:
        length_of = self._length_of(dataset)
        return [Shape(len(indices), max(map(length_of, indices))) for indices in batches]

    def _length_of(self, dataset: Any) -> Callable[[int], int]:
        # Windows of running text are named by where they begin, and are all of one length.
        length = getattr(dataset, "length", None)
        if isinstance(length, int):
            return lambda index: length
        return self._data.lengths(dataset).__getitem__


def measured_rates(trial: Trial, batches: Batches, *, only_largest: bool = False) -> Rates:
    """The rates of a run, measured.

    Args:
        only_largest: measure no other kind of batches than that of the largest one, no evaluation, which is taken for a
            third of a step, and no optimizer, which counts nothing.
    """
    pairs = sees_all_pairs(trial.model)
    tokens, largest = Counter[Kind](), dict[Kind, Shape]()
    for shape, count in Counter(batches.train).items():
        kind = trial.kind(shape)
        tokens[kind] += count * shape.tokens
        largest[kind] = max(largest.get(kind, shape), shape, key=_size)
    first = trial.kind(batches.largest)
    others = [kind for kind, _ in tokens.most_common() if kind != first]
    steps, every = {}, []
    for kind in [first, *([] if only_largest else others[: MOST_KINDS - 1])]:
        source, reading = batches.source(largest[kind], trial.model)
        found = trial.steps(source, kind)
        steps[kind] = Rate.of(found, pairs=pairs, reading=reading / source.shape.tokens)
        every += found
    if only_largest:
        # Forward alone, which is a third of the work, and keeps nothing.
        evaluation = Rate(steps[first].seconds.times(1 / 3), Growth(0.0, 0.0, 0.0))
        return Rates(steps, evaluation, 0.0, trial.warm_up, every)
    source, reading = batches.validation_source(trial.model)
    evaluation = Rate.of(trial.evaluations(source), pairs=pairs, reading=reading / source.shape.tokens)
    optimizer = trial.optimizer_seconds(batches.source(batches.largest, trial.model)[0])
    return Rates(steps, evaluation, optimizer, trial.warm_up, every)


def sees_all_pairs(model: PreTrainedModel) -> bool:
    """Whether any attention computes with every pair of tokens."""
    kinds = Counter[str]()
    config: Any = model.config
    for layers in (config.attention_layers, config.decoder_attention_layers or (), config.cross_attention_layers or ()):
        for layer in layers:
            kinds.update([layer] if isinstance(layer, str) else layer)
    return bool(kinds["full"])


def _size(shape: Shape) -> tuple[int, int]:
    return shape.tokens, shape.length
