"""Run folders: reading, writing, loading."""

from reformer.runs.folder import RunError
from reformer.runs.loading import load_run
from reformer.runs.recipe_file import read_recipe, write_recipe

__all__ = [
    "RunError",
    "load_run",
    "read_recipe",
    "write_recipe",
]
