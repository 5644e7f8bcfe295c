"""Plan of a recipe's run, begun as training begins it: data, model, and what changes it before the first step."""

from collections.abc import Callable
from pathlib import Path

import torch
from transformers import set_seed

from reformer.recipe import Recipe
from reformer.tasks.registry import TASKS
from reformer.training.initial_model import fit_wide_part, initial_model, keep_frequent_ngrams, load_start
from reformer.training.lora_training import LoraTraining
from reformer.training.plan.plan import Plan, plan_run
from reformer.training.precision import resolve_precision
from reformer.training.setup import process_state_restored


@process_state_restored()
def plan_recipe(recipe: Recipe, *, on_progress: Callable[[str], object] = lambda what: None) -> Plan:
    """What a recipe's run will take on this machine; see `plan_run`. Nothing is written.

    Raises:
        ReformerError: as training would at its begin, and where a plan cannot be made.
    """
    recipe = resolve_precision(recipe)
    if recipe.training.num_threads is not None:
        torch.set_num_threads(recipe.training.num_threads)
    task = TASKS[recipe.training.task].for_recipe(recipe)
    start = load_start(recipe, Path(), resume=False)
    data = task.load_data(recipe, start)
    set_seed(recipe.training.seed)
    model, changes = initial_model(task, data, recipe, start)
    data.weigh_loss(model)
    keep_frequent_ngrams(model, data, recipe.training, start)
    fit_wide_part(model, data, changes, start, resumed=False)
    LoraTraining.begin(model, recipe.finetune, changes)
    return plan_run(recipe, data, model, on_progress=on_progress)
