"""Recipe file: TOML read with overrides and written, errors naming the file and the field."""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reformer.data.readers import for_iconv, likely_encoding
from reformer.files import write
from reformer.recipe import BY_CHANCE, HOLD_OUT, Recipe, RecipeError
from reformer.tasks.recipe_checks import checked_recipe, current_name, with_current_names

_BACKSLASH_PATH = re.compile(r'"[^"\n]*\\[^"\n]*"')
_PATH_HINT = (
    r": in double quotes a backslash begins an escape, such as \n for a line break; put a path of Windows in single "
    r"quotes, as in train = 'C:\new\train.jsonl', or with / in place of each backslash"
)
MOST_BYTES = 1 << 22
"""Bytes of a recipe, at most."""


def read_recipe(path: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """The recipe in a TOML file, with `overrides` such as `training.learning_rate=1e-3` put over it.

    A value that is valid TOML is read as such (`true`, `3`, `[1, 2]`, `"text"`); anything else is text.

    Raises:
        RecipeError: the file, the field, the value and what was expected.
    """
    path = Path(path)
    tables = read_tables(path)
    _refuse_escaped_paths(path, tables)
    try:
        # Before the overrides: each must find the field it replaces, whichever name either is given by.
        tables = with_current_names(tables)
        origins = {}
        for override in overrides:
            origins |= _override(tables, override)
        return checked_recipe(tables, origins)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None


def read_begun_recipe(path: Path) -> Recipe:
    """The recipe that a run was begun with, from its folder.

    `write_recipe` writes defaults, too, so that a recipe without `hold_out` is of a version that held out by chance.

    Raises:
        RecipeError: as `read_recipe`.
    """
    recipe, given = read_recipe(path), read_tables(path).get("data", {})
    known = HOLD_OUT in type(recipe.data).model_fields
    # This field came with the first versions that held out by labels and groups.
    if known and recipe.data.validation is None and not {HOLD_OUT, "skip_bad"} & given.keys():
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={HOLD_OUT: BY_CHANCE})})
    return recipe


def write_recipe(recipe: Recipe, path: str | Path) -> None:
    """Write every field that has a value, defaults included, so that the file says all that was chosen."""
    write(Path(path), tables_text(recipe.model_dump(exclude_none=True)).encode())


def tables_text(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """A recipe's tables as TOML, without those that are empty."""
    lines = []
    for name, table in tables.items():
        if not table:
            continue
        lines.append(f"[{name}]")
        # JSON's numbers, strings and lists are TOML's as well.
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items()]
        lines.append("")
    return "\n".join(lines)


def read_tables(path: Path) -> dict[str, Any]:
    """The tables in a TOML file as they are, unchecked.

    Raises:
        RecipeError: it cannot be read.
    """
    data = b""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise RecipeError(f"{path}: this has more than {MOST_BYTES:,} bytes, and no recipe has; check the path")
        # With a byte order mark, as editors of Windows write it, or without.
        return _parsed(data.decode("utf-8-sig"))
    except FileNotFoundError:
        raise RecipeError(f"{path}: there is no such recipe; check the path") from None
    except IsADirectoryError:
        raise RecipeError(f"{path}: this is a folder; give the recipe's TOML file") from None
    except OSError as error:
        raise RecipeError(f"{path}: the recipe cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        found = likely_encoding(data)
        seems = "" if found is None else f", for example: iconv -f {for_iconv(found)} -t UTF-8 OLD > NEW"
        raise RecipeError(f"{path}: byte {error.start} is not UTF-8; save the recipe as UTF-8{seems}") from None
    except ValueError as error:
        hint = _PATH_HINT if _BACKSLASH_PATH.search(data.decode("utf-8-sig")) else ""
        raise RecipeError(f"{path}: not valid TOML: {error}{hint}") from None


def _refuse_escaped_paths(path: Path, tables: dict[str, Any]) -> None:
    """Refuse paths of Windows in double quotes, where \\n and \\t are a line break and a tab."""
    for table, fields in tables.items():
        for field, value in fields.items() if isinstance(fields, dict) else ():
            if field != "separator" and isinstance(value, str) and any(ord(character) < 32 for character in value):
                raise RecipeError(f"{path}: {table}.{field} = {json.dumps(value, ensure_ascii=False)}{_PATH_HINT}")


def _parsed(text: str) -> dict[str, Any]:
    """Raises a `ValueError` for whatever is no TOML."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("tables or lists within each other, too deep") from None


def _override(tables: dict[str, Any], override: str) -> dict[tuple[str, ...], str]:
    """Put one `table.field=value` into the tables; returns where, for the error messages."""
    where, equals, text = override.partition("=")
    keys = tuple(key.strip() for key in where.split("."))
    if not equals or len(keys) != 2 or not all(keys):
        raise RecipeError(f"--set {override}: expected TABLE.FIELD=VALUE, such as training.learning_rate=1e-3")
    try:
        value = _parsed(f"value = {text.strip()}")["value"]
    except ValueError:
        value = text.strip()
    table = tables.setdefault(keys[0], {})
    if not isinstance(table, dict):
        raise RecipeError(f"--set {override}: {keys[0]} is a value in this recipe, not a table")
    field = current_name(*keys)
    table[field] = value
    return {(keys[0], field): f"--set {override}"}
