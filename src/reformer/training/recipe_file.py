"""Recipes as TOML: reading with overrides, writing, and errors that name the file and the field."""

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from reformer.errors import ReformerError
from reformer.training.recipe import Recipe

# What a run finds out by itself: a recipe that sets one of them would contradict its own data.
DECIDED_BY_THE_RUN = {
    "vocab_size": "the tokenizer decides it; set tokenizer.vocab_size",
    "num_labels": "the training documents decide it",
    "id2label": "the training documents decide it",
    "label2id": "the training documents decide it",
    "problem_type": "training.task decides it",
    "pad_token_id": "the tokenizer decides it",
    "decoder_start_token_id": "the tokenizer decides it",
    "prediction_length": "set data.horizon",
    "num_channels": "the images decide it",
    "image_size": "the images decide it",
    "num_time_features": "the task decides it",
}


class RecipeError(ReformerError):
    """A recipe that cannot be read, or that asks for what does not exist."""


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


def _nearest(name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"


def _toml(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:
        return str(value)


def _check_model(path: Path, recipe: Recipe) -> None:
    """Refuse model fields that do not exist, are not the recipe's to set, or do not fit together."""
    from huggingface_hub.errors import StrictDataclassError

    from reformer.models import ReformerConfig
    from reformer.training.tasks import TASKS

    fields = recipe.model
    known = {name for name in ReformerConfig.__annotations__ if name != "model_type"} - set(DECIDED_BY_THE_RUN)
    for name in fields:
        if name in DECIDED_BY_THE_RUN:
            raise RecipeError(f"{path}: model.{name} is not the recipe's to set: {DECIDED_BY_THE_RUN[name]}")
        if name not in known | {"chunk_size_feed_forward"}:
            raise RecipeError(f"{path}: model.{name}: there is no such field{_nearest(name, known)}")
    try:
        ReformerConfig(**{**fields, **TASKS[recipe.training.task].model_fields})
    except StrictDataclassError as error:
        # It says twice what it expected: in short, and then type by type.
        short = " ".join(str(error).split()).rpartition("TypeError: ")[2].partition(" Errors:")[0]
        raise RecipeError(f"{path}: [model] {short}") from None
    except ValueError as error:
        # Over a trained model's own fields they may fit together; that is seen when it is read.
        if recipe.finetune.start_from is None:
            raise RecipeError(f"{path}: [model] {error}") from None
