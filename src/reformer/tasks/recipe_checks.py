"""Recipe checked against its task: the fields that the task knows, the values it can use, the model's fields."""

import json
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from pydantic import ValidationError

from reformer.models import ReformerConfig
from reformer.models.configuration.fields import FIELDS
from reformer.models.configuration.renamed_fields import RENAMED
from reformer.recipe import FROM_START, Recipe, RecipeError, deprecated_fields, nearest_name, table_types
from reformer.tasks.base import Task
from reformer.tasks.registry import TASKS

# A recipe that sets one of them would contradict its own data.
DECIDED_BY_THE_RUN = {
    "vocab_size": "the tokenizer decides it; set tokenizer.vocab_size",
    "num_labels": "the training documents decide it",
    "id2label": "the training documents decide it",
    "label2id": "the training documents decide it",
    "problem_type": "training.task decides it; for texts with several labels set training.problem_type",
    "pad_token_id": "the tokenizer decides it",
    "decoder_start_token_id": "the tokenizer decides it",
    "prediction_length": "set data.prediction_length",
    "num_channels": "the images decide it",
    "image_size": "the images decide it",
    "num_time_features": "the task decides it",
    "num_dynamic_real_features": "set data.known_columns",
    "dynamic_cardinalities": "set data.known_columns",
    "num_static_real_features": "set data.static_columns",
    "static_cardinalities": "set data.static_columns",
}

UNUSABLE = "this recipe cannot be used\n"

Place = tuple[str, ...]


def checked_recipe(tables: Mapping[str, Any], origins: Mapping[Place, str] | None = None) -> Recipe:
    """A recipe from its tables, of the type that its task declares.

    Args:
        tables: `data`, `tokenizer`, `model`, `finetune`, `training`, each a mapping from fields to values.
        origins: for the messages, where values come from if not from these tables, by table and field.

    Raises:
        RecipeError: every field that is unknown, missing or of a wrong type; or what the task cannot use.
    """
    tables = _with_start_tokenizer(with_current_names(tables))
    name = _task_name(tables)
    if name is not None and name not in TASKS:
        place = ("training", "task")
        raise RecipeError(f"{UNUSABLE}  {_value(place, name)}: {_expected_task()}{_origin(place, origins or {})}")
    recipe_type = Recipe if name is None else TASKS[name].recipe_type
    try:
        recipe = recipe_type.model_validate(tables)
    except ValidationError as error:
        problems = [_problem(item, recipe_type, name, origins or {}) for item in error.errors()]
        lines = "\n".join(f"  {problem}" for problem in problems if problem is not None)
        raise RecipeError(f"{UNUSABLE}{lines}") from None
    check(recipe)
    return recipe


def check(recipe: Recipe) -> None:
    """Check a recipe, however it was made, against its task.

    Raises:
        RecipeError: what the task does not know, lacks or cannot use.
    """
    name = recipe.training.task
    if name not in TASKS:
        raise RecipeError(f"{UNUSABLE}  training.task = {_toml(name)}: {_expected_task()}")
    task = TASKS[name]
    if not isinstance(recipe, task.recipe_type):
        raise RecipeError(
            f"this is a {type(recipe).__name__}, and {name} needs a {task.recipe_type.__name__}; make it by "
            "read_recipe or checked_recipe"
        )
    _refuse_foreign_options(recipe, task)
    try:
        task.check_recipe(recipe)
    except ValueError as error:
        raise RecipeError(f"{UNUSABLE}  {error}") from None
    _check_model(recipe, task)


def with_current_names(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The tables with today's name in place of each deprecated one, of which a `FutureWarning` tells.

    Raises:
        RecipeError: a field is given by both names.
    """
    renamed: dict[str, Any] = {}
    for table, fields in tables.items():
        if not isinstance(fields, Mapping):
            renamed[table] = fields
            continue
        renamed[table] = {}
        for field, value in fields.items():
            current = _new_name(table, field)
            if current in fields:
                raise RecipeError(f"{table}.{field} is the old name of {table}.{current}; give one of them")
            renamed[table][current_name(table, field)] = value
    return renamed


def current_name(table: str, field: str) -> str:
    """Today's name of a field; a `FutureWarning` tells of it where the one that is given is deprecated."""
    new = _new_name(table, field)
    if new is None:
        return field
    message = f"{table}.{field} is now called {table}.{new}; write that"
    warnings.warn(message, FutureWarning, stacklevel=3)
    return new


def _new_name(table: str, field: str) -> str | None:
    """The name that replaces a deprecated one."""
    if table == "model":
        return RENAMED.get(field)
    renamed = [deprecated_fields(task.recipe_type).get((table, field)) for task in TASKS.values()]
    return next((name for name in renamed if name is not None), None)


def _task_name(tables: Mapping[str, Any]) -> str | None:
    match tables:
        case {"training": {"task": str(name)}}:
            return name
    return None


def _with_start_tokenizer(tables: dict[str, Any]) -> dict[str, Any]:
    """The tables with the tokenizer of the model that the run starts from, where they do not name another."""
    task = TASKS.get(_task_name(tables) or "")
    match tables:
        case {"finetune": {"start_from": str()}} if task is not None and task.has_tokenizer:
            given = tables.get("tokenizer", {})
            if isinstance(given, Mapping) and not given.keys() - {"vocabulary"}:
                return tables | {"tokenizer": {"kind": FROM_START, **given}}
    return tables


def _refuse_foreign_options(recipe: Recipe, task: Task) -> None:
    for option in sorted(frozenset().union(*(other.model_options for other in TASKS.values())) - task.model_options):
        if recipe.model.get(option) is not None:
            owners = [name for name, other in TASKS.items() if option in other.model_options]
            raise RecipeError(f"{UNUSABLE}  {_foreign(('model', option), owners, recipe.training.task)}")


def _check_model(recipe: Recipe, task: Task) -> None:
    """Refuse model fields that do not exist, are not the recipe's to set, or do not fit together."""
    fields = dict(recipe.model)
    known = set(FIELDS) - set(DECIDED_BY_THE_RUN)
    for name in fields:
        if name in DECIDED_BY_THE_RUN:
            raise RecipeError(f"model.{name} is not the recipe's to set: {DECIDED_BY_THE_RUN[name]}")
        if name not in known | {"chunk_size_feed_forward"}:
            raise RecipeError(f"model.{name}: there is no such field{nearest_name(name, known)}")
    if recipe.finetune.start_from is not None and isinstance(kind := fields.get("attention_layers"), str):
        # Of all layers, as many as the trained model has.
        fields["attention_layers"] = [kind]
    try:
        ReformerConfig(**{**fields, **task.model_fields})
    except StrictDataclassError as error:
        # It says twice what it expected: in short, and then type by type.
        short = " ".join(str(error).split()).rpartition("TypeError: ")[2].partition(" Errors:")[0]
        raise RecipeError(f"[model] {short}") from None
    except ValueError as error:
        # Over a trained model's own fields they may fit together; that is seen when it is read.
        if recipe.finetune.start_from is None:
            raise RecipeError(f"[model] {error}") from None


def _problem(
    item: Mapping[str, Any], recipe_type: type[Recipe], task: str | None, origins: Mapping[Place, str]
) -> str | None:
    """One line of a pydantic error: field, value, expectation. None for a field that only a known task could refuse."""
    place = tuple(str(part) for part in item["loc"])
    field, origin = ".".join(place), _origin(place, origins)
    if item["type"] == "extra_forbidden":
        owners = list(_owners(place))
        if owners:
            return None if task is None else f"{_foreign(place, owners, task)}{origin}"
        return f"{field}: there is no such field{origin}{nearest_name(place[-1], _fields(recipe_type, place[:-1]))}"
    if item["type"] == "missing":
        return f"{field}: this has to be given{_example(recipe_type, place)}"
    message = item["msg"].removeprefix("Value error, ")
    if not place:
        return message
    if isinstance(item["input"], dict):
        return f"[{field}] {message}"
    return f"{_value(place, item['input'])}: {message.replace('Input should be', 'expected', 1)}{origin}"


def _owners(place: Place) -> Iterator[str]:
    """The tasks that know the field."""
    for name, task in TASKS.items():
        if len(place) == 2 and place[1] in _fields(task.recipe_type, place[:1]):
            yield name


def _fields(recipe_type: type[Recipe], place: Place) -> list[str]:
    if not place:
        return list(recipe_type.model_fields)
    table = table_types(recipe_type).get(place[0])
    return [] if table is None else list(table.model_fields)


def _example(recipe_type: type[Recipe], place: Place) -> str:
    if len(place) != 2:
        return ""
    examples = table_types(recipe_type)[place[0]].model_fields[place[1]].examples
    return f", such as {_toml(examples[0])}" if examples else ""


def _foreign(place: Place, owners: list[str], task: str) -> str:
    return f"{'.'.join(place)} is for {' and '.join(owners)}; leave it out for {task}"


def _expected_task() -> str:
    return f"expected one of {', '.join(TASKS)}"


def _origin(place: Place, origins: Mapping[Place, str]) -> str:
    return f" (from {origins[place]})" if place in origins else ""


def _value(place: Place, value: Any) -> str:
    return f"{'.'.join(place)} = {_toml(value)}"


def _toml(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:
        return str(value)
