"""First line of a run: the time and the memory that it will take, and the refusal of one that cannot fit."""

import math
from typing import Any

import psutil
from rich.console import Console

from reformer.errors import ReformerError
from reformer.recipe import Recipe
from reformer.tasks.base import TaskData
from reformer.terminal import say
from reformer.training.memory import free_memory
from reformer.training.plan.cost import bounded_steps, cost_of
from reformer.training.plan.rates import Batches, measured_rates, sees_all_pairs
from reformer.training.plan.trial import Trial
from reformer.training.trainer import CountingTrainer
from reformer.wording import bytes_in_words, counted, seconds_in_words

LONGEST = 0.1
"""Seconds of a step beyond which no longer one is measured."""

SHORT_SECONDS = 10.0
"""A run that takes less is not measured: in so little time no machine computes what does not fit into it."""

OPERATIONS_A_SECOND = 2e10
"""Of one thread, in small models."""

ERROR = 1.75
"""More times than the memory was ever foretold too great, see `docs/benchmarks.md`: what may fit is not refused."""


class TooLargeError(ReformerError):
    """A run that needs more memory than there is."""


def say_plan(trainer: CountingTrainer, recipe: Recipe, data: TaskData, console: Console) -> None:
    """Say what a run will take, as `reformer plan` measures it, from fewer and shorter steps.

    Nothing of a short run is measured, and what remains is said of its size. Nothing is learned.

    Args:
        trainer: of a single process, which has not begun.

    Raises:
        TooLargeError: the run cannot fit into memory.
    """
    batches = Batches(recipe, data)
    steps = bounded_steps(recipe, len(batches.train))
    tokens = sum(shape.tokens for shape in batches.train) / len(batches.train) * recipe.training.gradient_accumulation
    size = "" if steps is None else f"{counted(steps, 'step')} of about {counted(round(tokens), 'token')}, "
    model: Any = trainer.model
    # Forward a product and a sum with each weight, and backward twice as many; of pairs of tokens, two such products.
    work = 6 * sum(each.numel() for each in model.parameters()) * tokens
    if sees_all_pairs(model):
        config = model.config
        pairs = sum(shape.pairs for shape in batches.train) / len(batches.train)
        width = config.num_attention_heads * config.attention_head_size
        work += 12 * len(config.attention_layers) * width * pairs * recipe.training.gradient_accumulation
    most = math.inf if recipe.training.max_minutes is None else 60 * recipe.training.max_minutes
    if min(most, (math.inf if steps is None else steps) * work / OPERATIONS_A_SECOND) < SHORT_SECONDS:
        say(console, f"plan: {size or 'a run of '}less than a minute")
        return
    trial = Trial(trainer, LONGEST)
    free = free_memory() + trial.held
    cost = cost_of(recipe, trial, batches, measured_rates(trial, batches, only_largest=True), trial.held)
    told = f"plan: {size}about {seconds_in_words(cost.seconds)}"
    if trial.model.device.type != "cpu":
        # The memory of a device is not measured.
        say(console, told)
        return
    say(console, f"{told}; {bytes_in_words(cost.peak)} of {bytes_in_words(free)}")
    largest = batches.largest
    if cost.peak > ERROR * (free + psutil.swap_memory().free):
        trainer.close()
        raise TooLargeError(
            f"this run cannot fit: {bytes_in_words(cost.peak)} of memory are needed, its largest batch having "
            f"{counted(largest.rows, 'row')} of {counted(largest.length, 'token')}, and {bytes_in_words(free)} can be "
            "had; lower training.batch_tokens or the length of the texts, or see what `reformer plan RECIPE` tries; "
            "--no-plan trains it all the same"
        )
    if cost.peak > free:
        say(console, "warning: this may not fit into memory; `reformer plan RECIPE` measures more, and what would help")
