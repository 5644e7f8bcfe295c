"""Cost of a run: its memory by what it is of, and the time of its steps, its evaluations and the whole."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from transformers import PreTrainedModel

from reformer.recipe import Recipe
from reformer.training.plan.growth import Growth, Shape
from reformer.training.plan.parts import parts_of_a_batch
from reformer.training.plan.rates import Batches, Rates
from reformer.training.plan.trial import Kind, Trial

NUMBER = 4
"""Bytes of a weight, of its gradient, and of each of the two averages that AdamW keeps of the latter."""


BATCH = "largest batch: "
"""The beginning of the names of what it consists of."""


@dataclass(frozen=True)
class Cost:
    """Predicted time and memory of a run.

    Args:
        memory: bytes by what they are of, when the run holds the most.
        step_seconds: of the mean step, the optimizer's included.
        evaluation_seconds: of one evaluation.
        seconds: of the whole run, from the first step to the end of the last evaluation.
    """

    memory: Mapping[str, float]
    step_seconds: float
    evaluation_seconds: float
    seconds: float

    @property
    def peak(self) -> float:
        """The greatest memory."""
        return sum(self.memory.values())

    @property
    def held(self) -> float:
        """What is held whatever the batch."""
        return sum(size for name, size in self.memory.items() if not name.startswith(BATCH))


def learned_weights(model: PreTrainedModel) -> int:
    """The weights that are not frozen."""
    return sum(each.numel() for each in model.parameters() if each.requires_grad)


def bounded_steps(recipe: Recipe, batches: int) -> int | None:
    """Optimizer steps by epochs and `max_steps`; None where minutes alone end the run.

    Args:
        batches: of an epoch.
    """
    training = recipe.training
    of_epoch = math.ceil(batches / training.gradient_accumulation)
    bounds = [] if training.max_steps is None else [training.max_steps]
    bounds += [] if training.epochs is None else [math.ceil(training.epochs * of_epoch)]
    return min(bounds, default=None)


def cost_of(recipe: Recipe, trial: Trial, batches: Batches, rates: Rates, held: int) -> Cost:
    """The cost of a run, from its rates.

    Args:
        held: bytes of this process before anything was measured, the model included.
    """
    model, training = trial.model, recipe.training
    kinds = {shape: trial.kind(shape) for shape in dict.fromkeys(batches.train)}
    evaluated = max((rates.evaluation.bytes.at(shape) for shape in batches.validation), default=0.0)
    bfloat16 = training.precision == "bfloat16"
    memory = _memory(model, held, _largest(batches, kinds, rates), evaluated, bfloat16=bfloat16)
    counts = Counter(batches.train)
    every = sum(count * rates.step(kinds[shape]).seconds.at(shape) for shape, count in counts.items())
    step = every / len(batches.train) * training.gradient_accumulation + (rates.optimizer or 0.0)
    evaluation = rates.evaluation.seconds.over(batches.validation)
    steps = bounded_steps(recipe, len(batches.train))
    seconds = math.inf if steps is None else rates.warm_up + steps * step + training.num_evaluations * evaluation
    if training.max_minutes is not None:
        # The last evaluation comes when the minutes are over.
        seconds = min(seconds, 60 * training.max_minutes + evaluation)
    return Cost(memory, step, evaluation, seconds)


def _largest(batches: Batches, kinds: Mapping[Shape, Kind], rates: Rates) -> tuple[Shape, Growth]:
    """The batch that takes the most memory, which need not have the most tokens, and how such batches grow."""
    found = ((shape, rates.step(kind).bytes) for shape, kind in kinds.items())
    return max(found, key=lambda each: each[1].at(each[0]))


def _memory(
    model: PreTrainedModel, held: int, largest: tuple[Shape, Growth], evaluation: float, *, bfloat16: bool
) -> dict[str, float]:
    learned = NUMBER * learned_weights(model)
    weights = sum(each.numel() * each.element_size() for each in model.parameters())
    shape, growth = largest
    # Gradients come into being while it is computed.
    batch = max(growth.at(shape), evaluation, learned) - learned
    told = dict(parts_of_a_batch(model, shape, bfloat16=bfloat16))
    scale = min(1.0, batch / max(1.0, sum(told.values())))
    parts = {f"{BATCH}{name}": scale * size for name, size in told.items()}
    return {
        "weights": weights,
        "gradients": learned,
        "optimizer": 2 * learned,
        **parts,
        f"{BATCH}all else": batch - sum(parts.values()),
        "process and data": max(0, held - weights),
    }
