"""Recipes as TOML: reading with overrides, writing, and errors that name the file and the field."""

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from reformer.models.configuration.renamed_fields import with_new_names
from reformer.recipe import Recipe, RecipeError, _nearest
from reformer.tasks.recipe_checks import _check_model


def read_recipe(path: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """The recipe in a TOML file, with `overrides` such as `training.learning_rate=1e-3` put over it.

    A value that is valid TOML is read as such (`true`, `3`, `[1, 2]`, `"text"`); anything else is text.

    Raises:
        RecipeError: the file, the field, the value and what was expected.
    """
    path = Path(path)
    tables = _parse(path)
    given = {}
    for override in overrides:
        given |= _override(tables, override)
    if isinstance(tables.get("model"), dict):
        tables["model"] = with_new_names(tables["model"])
    try:
        recipe = Recipe.model_validate(tables)
    except ValidationError as error:
        problems = "\n".join(f"  {_problem(item, given)}" for item in error.errors())
        raise RecipeError(f"{path}: this recipe cannot be used\n{problems}") from None
    _check_model(path, recipe)
    return recipe


def write_recipe(recipe: Recipe, path: str | Path) -> None:
    """Write every field that has a value, defaults included, so that the file says all that was chosen."""
    lines = []
    for name, table in recipe.model_dump(exclude_none=True).items():
        if not table:
            continue
        lines.append(f"[{name}]")
        # JSON's numbers, strings and lists are TOML's as well.
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items()]
        lines.append("")
    Path(path).write_text("\n".join(lines), encoding="utf-8")


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"{path}: there is no such recipe; check the path") from None
    except IsADirectoryError:
        raise RecipeError(f"{path}: this is a folder; give the recipe's TOML file") from None
    except OSError as error:
        raise RecipeError(f"{path}: the recipe cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: byte {error.start} is not UTF-8; save the recipe as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not valid TOML: {error}") from None


def _override(tables: dict[str, Any], override: str) -> dict[tuple[str, ...], str]:
    """Put one `table.field=value` into the tables; returns where, for the error messages."""
    where, equals, text = override.partition("=")
    keys = tuple(key.strip() for key in where.split("."))
    if not equals or len(keys) != 2 or not all(keys):
        raise RecipeError(f"--set {override}: expected TABLE.FIELD=VALUE, such as training.learning_rate=1e-3")
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    table = tables.setdefault(keys[0], {})
    if not isinstance(table, dict):
        raise RecipeError(f"--set {override}: {keys[0]} is a value in this recipe, not a table")
    table[keys[1]] = value
    return {keys: override}


def _problem(item: Mapping[str, Any], overrides: Mapping[tuple[str, ...], str]) -> str:
    """One line of what pydantic found: field, value, expectation."""
    place = tuple(str(part) for part in item["loc"])
    field = ".".join(place)
    origin = f" (from --set {overrides[place]})" if place in overrides else ""
    if item["type"] == "extra_forbidden":
        return f"{field}: there is no such field{origin}{_nearest(place[-1], _fields(place[:-1]))}"
    if item["type"] == "missing":
        return f"{field}: this has to be given"
    message = item["msg"].removeprefix("Value error, ")
    if not place:
        return message
    if isinstance(item["input"], dict):
        return f"[{field}] {message}"
    message = message.replace("Input should be", "expected", 1)
    return f"{field} = {_toml(item['input'])}: {message}{origin}"


def _fields(place: tuple[str, ...]) -> list[str]:
    table: Any = Recipe
    for name in place:
        table = table.model_fields[name].annotation
    return list(table.model_fields) if isinstance(table, type) and issubclass(table, BaseModel) else []


def _toml(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:
        return str(value)
