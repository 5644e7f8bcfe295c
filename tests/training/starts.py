"""Recipes of runs that start from a trained model."""

from pathlib import Path

from reformer.recipe import Recipe
from reformer.tasks.recipe_checks import checked_recipe


def recipe_from(start: Path, tables: dict, **model: object) -> Recipe:
    """The recipe with the start's tokenizer in place of its own, and some fields of the start's model changed."""
    without = {name: table for name, table in tables.items() if name != "tokenizer"}
    return checked_recipe(without | {"model": model, "finetune": {"start_from": str(start)}})


def recipe_altering(start: Path, tables: dict, **finetune: object) -> Recipe:
    """The recipe with the start's model, and what is to be done to it before it is trained."""
    return checked_recipe(tables | {"model": {}, "finetune": {"start_from": str(start), **finetune}})
