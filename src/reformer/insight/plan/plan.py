"""Plan of a run: its size, the memory and time of its steps, what would make it fit, and full attention beside it."""

import copy
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import psutil
import torch
from transformers import PreTrainedModel

from reformer.errors import ReformerError
from reformer.insight.plan.growth import Growth, Shape, crossing, fitted
from reformer.insight.plan.measurement import (
    Measured,
    cut,
    measure_evaluation,
    measure_step,
    optimizer_seconds,
    recomputed,
    resident,
    shapes_of_whole_rows,
    short_shapes,
)
from reformer.recipe import Recipe
from reformer.tasks.base import TaskData

MOST_SHARE = 0.95
"""Of the memory that can be had, above which a run does not fit."""

NUMBER = 4
"""Bytes of a weight."""
MOMENTS = 2
"""Averages that AdamW keeps of each weight's gradient."""


@dataclass(frozen=True)
class Cost:
    """Predicted time and memory of a run.

    Args:
        memory: bytes by what they are of, at the largest batch.
        step_seconds: of the mean step, the optimizer's included.
        evaluation_seconds: of one evaluation.
        seconds: of the whole run; None where the recipe's minutes end it.
    """

    memory: Mapping[str, float]
    step_seconds: float
    evaluation_seconds: float
    seconds: float

    @property
    def peak(self) -> float:
        """The greatest memory."""
        return sum(self.memory.values())


@dataclass(frozen=True)
class Plan:
    """What a run will take.

    Args:
        weights: of the model; `learned` those that are not frozen.
        tokens: of the training part, in one epoch, padding included.
        steps: optimizer steps of the run.
        largest: rows and length of the largest batch.
        available: bytes that can be had.
        alternatives: for a run that does not fit, changes of its recipe, each with its cost.
        full_attention: the cost with full attention in all layers; None where it was not tried or is what is there.
        crosses_at: from so many tokens on, a step of the recipe's layers takes less time than one with full attention.
        notes: what was not tried, and why.
    """

    weights: int
    learned: int
    tokens: int
    steps: int
    evaluations: int
    largest: Shape
    precision: str
    available: int
    cost: Cost
    measured: Sequence[Measured]
    alternatives: Mapping[str, Cost] = field(default_factory=dict)
    full_attention: Cost | None = None
    crosses_at: int | None = None
    notes: Sequence[str] = ()

    @property
    def fits(self) -> bool:
        """Whether the memory suffices."""
        return self.cost.peak <= MOST_SHARE * self.available

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        found: dict[str, Any] = {**asdict(self), "fits": self.fits}
        found["cost"]["peak_bytes"] = self.cost.peak
        for name, cost in self.alternatives.items():
            found["alternatives"][name] |= {"peak_bytes": cost.peak, "fits": cost.peak <= MOST_SHARE * self.available}
        if self.full_attention is not None:
            found["full_attention"]["peak_bytes"] = self.full_attention.peak
        return found


@dataclass(frozen=True)
class _Rates:
    """How a model's steps and evaluations grow."""

    step: Growth
    memory: Growth
    evaluation: Growth
    evaluation_memory: Growth
    optimizer: float
    measured: tuple[Measured, ...]


@dataclass(frozen=True)
class _Run:
    """The batches of a run, and how to make one."""

    train: list[Shape]
    validation: list[Shape]
    recipe: Recipe
    data: TaskData

    @property
    def largest(self) -> Shape:
        return max(self.train, key=lambda shape: (shape.tokens, shape.length))

    def steps(self) -> int | None:
        """Optimizer steps by epochs and `max_steps`; None where minutes alone end the run."""
        training = self.recipe.training
        of_epoch = math.ceil(len(self.train) / training.gradient_accumulation)
        bounds = [] if training.max_steps is None else [training.max_steps]
        bounds += [] if training.epochs is None else [math.ceil(training.epochs * of_epoch)]
        return min(bounds, default=None)


def plan_run(
    recipe: Recipe,
    data: TaskData,
    model: PreTrainedModel,
    *,
    available: int | None = None,
    on_progress: Callable[[str], object] = lambda what: None,
) -> Plan:
    """Measure three short steps of a run's model, and carry them on to its largest batch and to all of it.

    The model and the random state are afterwards as they were.

    Args:
        recipe: with its precision decided.
        data: of the recipe.
        model: the one that would be trained.
        available: bytes that can be had; None: those that this machine has free, and what this process holds.
        on_progress: is told what is measured next.
    """
    run = _Run(_shapes(data, data.train, recipe), _shapes(data, data.validation, recipe, shuffle=False), recipe, data)
    held = resident()
    available = psutil.virtual_memory().available + held if available is None else available
    on_progress("steps of the model")
    rates = _rates(model, run)
    cost = _cost(model, run, rates, held)
    learned = _learned(model)
    steps = run.steps()
    by_minutes = recipe.training.max_minutes
    if by_minutes is not None:
        in_time = max(1, round(60 * by_minutes / cost.step_seconds))
        steps = in_time if steps is None else min(steps, in_time)
    assert steps is not None
    found = Plan(
        weights=sum(each.numel() for each in model.parameters()),
        learned=learned,
        tokens=sum(shape.tokens for shape in run.train),
        steps=steps,
        evaluations=recipe.training.num_evaluations,
        largest=run.largest,
        precision=recipe.training.precision,
        available=available,
        cost=cost,
        measured=rates.measured,
    )
    if not found.fits:
        on_progress("what would make it fit")
        found = replace(found, alternatives=dict(_alternatives(model, run, rates, held, available)))
    on_progress("full attention")
    return _beside_full_attention(found, model, run, rates, held)


def _shapes(data: TaskData, dataset: Any, recipe: Recipe, *, shuffle: bool = True) -> list[Shape]:
    """The batches of one pass over a part of the data."""
    batches = data.batches(dataset, recipe.training, shuffle=shuffle, rank=0, world_size=1)
    length_of = _length_of(data, dataset)
    return [Shape(len(indices), max(map(length_of, indices))) for indices in batches]


def _length_of(data: TaskData, dataset: Any) -> Callable[[int], int]:
    """The tokens of each example."""
    # Windows of running text are named by where they begin, and are all of one length.
    length = getattr(dataset, "length", None)
    if isinstance(length, int):
        return lambda index: length
    return data.lengths(dataset).__getitem__


def _rates(model: PreTrainedModel, run: _Run) -> _Rates:
    """The growth of a model's steps, measured at three small batches."""
    precision, largest = run.recipe.training.precision, run.largest
    indices = next(iter(run.data.batches(run.data.train, run.recipe.training, shuffle=True, rank=0, world_size=1)))
    generator = torch.Generator().manual_seed(0)
    batch = run.data.augment(run.data.collate([run.data.train[index] for index in indices[:4]]), generator)
    config: Any = model.config
    # Rows of series and images, and pairs of texts, cannot be cut: fewer of them are measured.
    ids = None if config.is_encoder_decoder else batch.get("input_ids")
    if ids is None:
        length = max(_length_of(run.data, run.data.train)(index) for index in indices[:4])
        shapes = shapes_of_whole_rows(Shape(largest.rows, length))
    else:
        length = ids.shape[1]
        shapes = short_shapes(Shape(largest.rows, min(largest.length, length)))
    steps, evaluations = [], []
    with warnings.catch_warnings(), recomputed(model, largest, precision):
        warnings.simplefilter("ignore")
        for shape in shapes:
            part = cut(batch, shape, None if ids is None else length)
            one = {name: _moved(each, model) for name, each in part.items()}
            steps.append(measure_step(model, one, shape, precision))
            evaluate = partial(model, **one)
            evaluations.append(measure_evaluation(model, evaluate, shape, precision))
    pairs = _sees_all_pairs(model)
    step, memory = (fitted([(each.shape, value(each)) for each in steps], pairs=pairs) for value in (_seconds, _bytes))
    evaluation, evaluation_memory = (
        fitted([(each.shape, value(each)) for each in evaluations], pairs=pairs) for value in (_seconds, _bytes)
    )
    return _Rates(step, memory, evaluation, evaluation_memory, optimizer_seconds(model), tuple(steps))


def _cost(model: PreTrainedModel, run: _Run, rates: _Rates, held: int) -> Cost:
    learned = _learned(model)
    weights = NUMBER * sum(each.numel() for each in model.parameters())
    accumulation = run.recipe.training.gradient_accumulation
    batch = rates.memory.at(run.largest)
    evaluation = max((rates.evaluation_memory.at(shape) for shape in run.validation), default=0.0)
    memory = {
        "weights": weights,
        "gradients": NUMBER * learned,
        "optimizer": MOMENTS * NUMBER * learned,
        "largest batch": max(batch, evaluation),
        "process and data": max(0, held - weights),
    }
    mean = rates.step.over(run.train) / len(run.train) * accumulation + rates.optimizer
    evaluating = rates.evaluation.over(run.validation)
    training, steps = run.recipe.training, run.steps()
    seconds = math.inf if steps is None else steps * mean + training.num_evaluations * evaluating
    if training.max_minutes is not None:
        seconds = min(seconds, 60 * training.max_minutes)
    return Cost(memory, mean, evaluating, seconds)


def _alternatives(
    model: PreTrainedModel, run: _Run, rates: _Rates, held: int, available: int
) -> Iterator[tuple[str, Cost]]:
    """Changes of the recipe that take less memory, each alone."""
    config: Any = model.config
    fields: dict[str, dict[str, Any]] = {}
    if config.residual_streams == 2 and config.reversible is not True:
        fields["model.reversible = true"] = {"reversible": True}
    if config.residual_streams == 1 and config.recompute is not True:
        fields["model.recompute = true"] = {"recompute": True}
    if not config.chunk_size_feed_forward:
        fields["model.chunk_size_feed_forward = 1024"] = {"chunk_size_feed_forward": 1024}
    for name, changes in fields.items():
        other = _with(model, changes)
        yield name, _cost(other, run, _rates(other, run), held)
    if run.recipe.training.precision == "float32":
        training = run.recipe.training.model_copy(update={"precision": "bfloat16"})
        lower = replace(run, recipe=run.recipe.model_copy(update={"training": training}))
        yield 'training.precision = "bfloat16"', _cost(model, lower, _rates(model, lower), held)
    # By the same growth: the most tokens of a batch, or of a row, that the rest of the memory takes.
    cost = _cost(model, run, rates, held)
    left = MOST_SHARE * available - (cost.peak - cost.memory["largest batch"])
    largest = run.largest
    length = largest.length
    while length > 1 and rates.memory.at(Shape(1, length)) > left:
        length //= 2
    if left <= 0 or rates.memory.at(Shape(1, length)) > left:
        return
    rows = largest.rows
    while rows > 1 and rates.memory.at(Shape(rows, length)) > left:
        rows -= 1
    shorter = [Shape(min(shape.rows, rows), min(shape.length, length)) for shape in run.train]
    name = f"training.batch_tokens = {rows * length}" if length == largest.length else f"texts of {length} tokens"
    yield name, _cost(model, replace(run, train=shorter), rates, held)


def _beside_full_attention(plan: Plan, model: PreTrainedModel, run: _Run, rates: _Rates, held: int) -> Plan:
    """The plan with what full attention would take in the place of the layers' own."""
    config: Any = model.config
    layers = list(config.attention_layers)
    if all(layer == "full" for layer in layers):
        return plan
    try:
        # Full attention has no tokens that all see: all do.
        other = _with(model, {"attention_layers": ["full"] * len(layers), "global_tokens": []})
        full = _rates(other, run)
    except (ValueError, TypeError, RuntimeError, ReformerError) as error:
        note = f"full attention was not tried: {next(iter(str(error).splitlines()), '')}"
        return replace(plan, notes=[*plan.notes, note])
    return replace(plan, full_attention=_cost(other, run, full, held), crosses_at=crossing(rates.step, full.step))


def _with(model: PreTrainedModel, changes: Mapping[str, Any]) -> PreTrainedModel:
    """A model of the same class and of another configuration, its weights drawn anew from a generator of their own."""
    config = copy.deepcopy(model.config)
    for name, value in changes.items():
        setattr(config, name, value)
    with torch.random.fork_rng(devices=[]):
        found: Any = type(model)(config)
    return found.to(model.device)


def _sees_all_pairs(model: PreTrainedModel) -> bool:
    """Whether any attention computes with every pair of tokens."""
    kinds = Counter[str]()
    config: Any = model.config
    for layers in (config.attention_layers, config.decoder_attention_layers or (), config.cross_attention_layers or ()):
        for layer in layers:
            kinds.update([layer] if isinstance(layer, str) else layer)
    return bool(kinds["full"])


def _moved(value: Any, model: PreTrainedModel) -> Any:
    return value.to(model.device) if isinstance(value, torch.Tensor) else value


def _learned(model: PreTrainedModel) -> int:
    return sum(each.numel() for each in model.parameters() if each.requires_grad)


def _seconds(measured: Measured) -> float:
    return measured.seconds


def _bytes(measured: Measured) -> float:
    return measured.bytes
