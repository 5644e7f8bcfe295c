"""Plan of a run: its size, the memory and time of its steps, what would make it fit, and full attention beside it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import PreTrainedModel

from reformer.errors import ReformerError
from reformer.recipe import Recipe
from reformer.tasks.base import TaskData
from reformer.training.memory import free_memory, resident
from reformer.training.plan.alternatives import changed_models, fewer_tokens, with_config
from reformer.training.plan.cost import Cost, bounded_steps, cost_of, learned_weights
from reformer.training.plan.growth import Shape, crossing
from reformer.training.plan.rates import Batches, Rates, measured_rates
from reformer.training.plan.trial import Measured, Trial
from reformer.training.precision import with_precision
from reformer.training.setup import build_trainer, process_state_restored, training_arguments

MOST_SHARE = 0.95
"""Of the memory that can be had, above which a run does not fit."""

NO_OPTIMIZER = "the averages of the optimizer do not fit into memory, so that its time is not counted"
OF_DEVICE = "the memory is that of this process; that of the device which the model computes on is not measured"

LONGEST, LONGEST_OF_OTHERS = 0.5, 0.2
"""Seconds of a step beyond which no longer one is measured: of the run's own model, and of others."""


@dataclass(frozen=True)
class Plan:
    """What a run will take.

    Args:
        weights: of the model; `learned` those that are not frozen.
        tokens: of the training part, in one epoch, padding included.
        steps: optimizer steps of the run.
        largest: rows and length of the largest batch.
        available: bytes that can be had.
        measured: the steps that all else was carried on from.
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
class _Run:
    """A run whose steps are tried with several models."""

    recipe: Recipe
    data: TaskData
    batches: Batches
    held: int
    """Bytes of this process before anything was measured, the recipe's model included."""

    @contextmanager
    def trial(self, model: PreTrainedModel, longest: float = LONGEST_OF_OTHERS) -> Iterator[Trial]:
        """A trial of the run's trainer with a model; for `longest` see `Trial`."""
        # No tracker of experiments hears of it.
        training = self.recipe.training.model_copy(update={"report_to": []})
        recipe = self.recipe.model_copy(update={"training": training})
        with TemporaryDirectory() as name:
            arguments = training_arguments(recipe, Path(name))
            trial = Trial(build_trainer(recipe, arguments, model, self.data, Path(name)), longest)
            try:
                yield trial
            finally:
                trial.close()

    def cost(self, model: PreTrainedModel) -> Cost:
        """What the run takes with a model."""
        with self.trial(model) as trial:
            return cost_of(self.recipe, trial, self.batches, measured_rates(trial, self.batches), self.held)

    def in_bfloat16(self) -> "_Run":
        return replace(self, recipe=with_precision(self.recipe, "bfloat16"))


@process_state_restored()
def plan_run(
    recipe: Recipe,
    data: TaskData,
    model: PreTrainedModel,
    *,
    available: int | None = None,
    on_progress: Callable[[str], object] = lambda what: None,
) -> Plan:
    """Measure short steps and evaluations of a run's trainer, and carry them on to its largest batch and to all of it.

    Model and random states are afterwards as they were.

    Args:
        recipe: with its precision decided.
        data: of the recipe.
        model: the one that would be trained.
        available: bytes that can be had; None: those that this machine has free, and what this process holds.
        on_progress: is told what is measured next.

    Raises:
        ReformerError: the run needs several processes.
    """
    if recipe.training.sequence_parallel > 1:
        raise ReformerError(
            f"training.sequence_parallel = {recipe.training.sequence_parallel}: a plan is of one process; give "
            "--set training.sequence_parallel=1, and divide the memory of the largest batch by the processes"
        )
    run = _Run(recipe, data, Batches(recipe, data), held=resident())
    available = free_memory() + run.held if available is None else available
    on_progress("steps of the model")
    with run.trial(model, LONGEST) as trial:
        run = replace(run, held=trial.held)
        rates = measured_rates(trial, run.batches)
        cost = cost_of(recipe, trial, run.batches, rates, run.held)
    found = Plan(
        weights=sum(each.numel() for each in model.parameters()),
        learned=learned_weights(model),
        tokens=sum(shape.tokens for shape in run.batches.train),
        steps=_steps(recipe, run.batches, cost),
        evaluations=recipe.training.num_evaluations,
        largest=run.batches.largest,
        precision=recipe.training.precision,
        available=available,
        cost=cost,
        measured=rates.measured,
        notes=[
            *([] if model.device.type == "cpu" else [OF_DEVICE]),
            *([] if rates.optimizer is not None else [NO_OPTIMIZER]),
        ],
    )
    if not found.fits:
        on_progress("what would make it fit")
        found = replace(found, alternatives=dict(_alternatives(found, run, model, rates)))
    on_progress("full attention")
    return _beside_full_attention(found, run, model, rates)


def _steps(recipe: Recipe, batches: Batches, cost: Cost) -> int:
    bounds = [bounded_steps(recipe, len(batches.train))]
    minutes = recipe.training.max_minutes
    if minutes is not None:
        # The last evaluation comes when the minutes are over.
        learning = 60 * minutes - (recipe.training.num_evaluations - 1) * cost.evaluation_seconds
        bounds.append(max(1, round(learning / cost.step_seconds)))
    return min(bound for bound in bounds if bound is not None)


def _alternatives(plan: Plan, run: _Run, model: PreTrainedModel, rates: Rates) -> Iterator[tuple[str, Cost]]:
    """Changes of the recipe that take less memory, each alone."""
    for name, other in changed_models(model):
        yield name, run.cost(other)
    if run.recipe.training.precision == "float32":
        yield 'training.precision = "bfloat16"', run.in_bfloat16().cost(model)
    # Gradients are a part of what a batch takes.
    left = MOST_SHARE * plan.available - plan.cost.held + plan.cost.memory["gradients"]
    with run.trial(model) as trial:
        fewer = fewer_tokens(trial, rates, run.batches, left)
        if fewer is not None:
            name, batches = fewer
            yield name, cost_of(run.recipe, trial, batches, rates, run.held)


def _beside_full_attention(plan: Plan, run: _Run, model: PreTrainedModel, rates: Rates) -> Plan:
    """The plan with what full attention would take in the place of the layers' own."""
    config: Any = model.config
    layers = list(config.attention_layers)
    if all(layer == "full" for layer in layers):
        return plan
    try:
        # Full attention has no tokens that all see: all do.
        other = with_config(model, {"attention_layers": ["full"] * len(layers), "global_tokens": []})
        with run.trial(other) as trial:
            full = measured_rates(trial, run.batches)
            cost = cost_of(run.recipe, trial, run.batches, full, run.held)
            kind = trial.kind(run.batches.largest)
    except (ValueError, TypeError, RuntimeError, ReformerError) as error:
        note = f"full attention was not tried: {next(iter(str(error).splitlines()), '')}"
        return replace(plan, notes=[*plan.notes, note])
    crosses_at = crossing(rates.step(kind).seconds, full.step(kind).seconds)
    return replace(plan, full_attention=cost, crosses_at=crosses_at)
