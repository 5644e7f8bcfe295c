"""The recipes that come with the project can be used as they are."""

from pathlib import Path

import pytest

from reformer.runs.recipe_file import read_recipe

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_each_recipe_is_valid(path):
    read_recipe(path)
