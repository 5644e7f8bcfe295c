"""Recipes against their tasks: each task's own fields, their former names, and a new task in one place."""

import pickle
import tomllib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import Field
from rich.console import Console
from torch.utils.data import Dataset

from reformer.metrics.language import HiddenTokenMetric
from reformer.models import ReformerForMaskedLM
from reformer.models.configuration.renamed_fields import RENAMED
from reformer.recipe import AtLeastOne, DataRecipe, Recipe, RecipeError, TrainingRecipe, deprecated_fields, table_types
from reformer.runs.recipe_file import read_recipe, write_recipe
from reformer.tasks.base import Task, TaskData, describe_splits, outputs_with_summed_loss
from reformer.tasks.model_setup import make_config
from reformer.tasks.recipe_checks import check, checked_recipe, with_current_names
from reformer.tasks.registry import TASKS
from reformer.training.train import train
from tests.tiny import (
    MODEL,
    language_recipe,
    masked_recipe,
    ner_recipe,
    pairs_recipe,
    reviews_recipe,
    series_recipe,
)

TABLES = (ner_recipe, reviews_recipe, language_recipe, masked_recipe, pairs_recipe, series_recipe)

FORMER_NAMES = [
    (ner_recipe, "training", "evaluations", "num_evaluations", 7),
    (ner_recipe, "training", "clip", "max_grad_norm", 0.5),
    (ner_recipe, "training", "log_steps", "logging_steps", 7),
    (ner_recipe, "training", "average_decay", "ema_decay", 0.5),
    (ner_recipe, "training", "answer_types", "entity_types", ["PER"]),
    (ner_recipe, "training", "recombination", "entity_recombination", 0.5),
    (masked_recipe, "training", "mask_ratio", "mlm_probability", 0.5),
    (language_recipe, "data", "measure_tokens", "eval_tokens", 7),
    (series_recipe, "data", "horizon", "prediction_length", 7),
    (series_recipe, "data", "season", "season_length", 7),
    (ner_recipe, "finetune", "trim_layers", "prune_layers", 1),
    (ner_recipe, "finetune", "trim_tolerance", "prune_tolerance", 0.5),
    (ner_recipe, "finetune", "trim_heads", "prune_heads", 1),
    (ner_recipe, "finetune", "trim_heads_tolerance", "prune_heads_tolerance", 0.5),
]


@pytest.mark.parametrize("make", TABLES)
def test_a_recipe_is_immutable_comparable_and_can_be_pickled_and_written(tmp_path, make):
    recipe = checked_recipe(make(tmp_path))
    assert recipe == checked_recipe(make(tmp_path))
    assert recipe != checked_recipe(make(tmp_path, seed=99))
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    with pytest.raises(ValueError, match="frozen"):
        recipe.data.validation_fraction = 0.5  # pyright: ignore[reportAttributeAccessIssue]
    write_recipe(recipe, tmp_path / "recipe.toml")
    assert read_recipe(tmp_path / "recipe.toml") == recipe


def test_every_former_name_is_tested():
    named = {(table, old) for _, table, old, _, _ in FORMER_NAMES}
    assert named == {name for task in TASKS.values() for name in deprecated_fields(task.recipe_type)}
    known = [kind for task in TASKS.values() for kind in table_types(task.recipe_type).items()]
    assert all(
        any(t == table and new in kind.model_fields for t, kind in known) for _, table, _, new, _ in FORMER_NAMES
    )


def _with(make, folder, table, field, value):
    tables = make(folder)
    tables.setdefault(table, {})[field] = value
    if table == "finetune":
        tables["finetune"]["start_from"] = "somewhere"
    return tables


@pytest.mark.parametrize(("make", "table", "old", "new", "value"), FORMER_NAMES)
def test_a_former_name_is_read_with_a_warning_that_names_the_new_one(tmp_path, make, table, old, new, value):
    tables = _with(make, tmp_path, table, old, value)
    tables[table].pop(new, None)
    with pytest.warns(FutureWarning, match=f"{table}.{old} is now called {table}.{new}; write that"):
        recipe = checked_recipe(tables)
    assert recipe == checked_recipe(tables | {table: with_value(tables[table], old, new)})
    assert getattr(getattr(recipe, table), new) == value
    write_recipe(recipe, tmp_path / "recipe.toml")
    written = tomllib.loads((tmp_path / "recipe.toml").read_text(encoding="utf-8"))
    assert written[table][new] == value
    assert old not in written[table]


def with_value(fields, old, new):
    return {new if name == old else name: value for name, value in fields.items()}


@pytest.mark.parametrize(("make", "table", "old", "new", "value"), FORMER_NAMES)
def test_both_names_of_a_field_are_refused(tmp_path, make, table, old, new, value):
    tables = _with(make, tmp_path, table, old, value)
    tables[table][new] = value
    with pytest.raises(RecipeError, match=f"{table}.{old} is the old name of {table}.{new}; give one of them"):
        checked_recipe(tables)


@pytest.mark.parametrize("inside", ["evaluations", "num_evaluations"])
@pytest.mark.parametrize("override", ["evaluations", "num_evaluations"])
def test_an_override_finds_its_field_by_either_name(tmp_path, inside, override):
    path = tmp_path / "recipe.toml"
    write_recipe(checked_recipe(ner_recipe(tmp_path)), path)
    path.write_text(path.read_text(encoding="utf-8").replace("num_evaluations", inside), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        assert read_recipe(path, [f"training.{override}=9"]).training.num_evaluations == 9
        with pytest.raises(RecipeError, match=rf"num_evaluations = 0: .*\(from --set training\.{override}=0\)"):
            read_recipe(path, [f"training.{override}=0"])


def test_current_names_leave_other_tables_as_they_are():
    tables = {"data": {"train": "a"}, "model": {"horizon": 3}, "training": 4}
    assert with_current_names(tables) == tables


@pytest.mark.parametrize("old", ["classifier_random_field", "time_steps"])
def test_former_names_of_the_model_s_fields_are_read_too(tmp_path, old):
    path = tmp_path / "recipe.toml"
    write_recipe(checked_recipe(ner_recipe(tmp_path)), path)
    value = {"classifier_random_field": "true", "time_steps": "[2, 3]"}[old]
    overrides = [f"model.{old}={value}", "model.time_bias_length=9"]
    with pytest.warns(FutureWarning, match=f"model.{old} is now called model.{RENAMED[old]}"):
        assert RENAMED[old] in read_recipe(path, overrides).model


def test_a_foreign_field_names_its_tasks_and_where_it_comes_from(tmp_path):
    path = tmp_path / "recipe.toml"
    write_recipe(checked_recipe(ner_recipe(tmp_path)), path)
    message = (
        r"data\.context_length is for forecasting; leave it out for token-classification "
        r"\(from --set data\.context_length=3\)"
    )
    with pytest.raises(RecipeError, match=message):
        read_recipe(path, ["data.context_length=3"])


def test_without_a_task_only_the_task_is_missing(tmp_path):
    tables = ner_recipe(tmp_path)
    del tables["training"]["task"]
    with pytest.raises(RecipeError) as caught:
        checked_recipe(tables)
    assert str(caught.value) == "this recipe cannot be used\n  training.task: this has to be given"


def test_training_refuses_a_recipe_that_was_made_for_another_task(tmp_path):
    recipe = checked_recipe(ner_recipe(tmp_path))
    other = recipe.model_copy(update={"training": recipe.training.model_copy(update={"task": "language-modelling"})})
    with pytest.raises(RecipeError, match="this is a TokenRecipe, and language-modelling needs a LanguageRecipe"):
        train(other, tmp_path / "run", console=Console(quiet=True))
    unknown = recipe.model_copy(update={"training": recipe.training.model_copy(update={"task": "nonsense"})})
    with pytest.raises(RecipeError, match=r'training\.task = "nonsense": expected one of token-classification, '):
        check(unknown)


# A task in one place: its tables, its data and itself.


class CopyDataRecipe(DataRecipe, frozen=True):
    """Made-up tokens."""

    made_up: AtLeastOne = Field(description="how many sequences to make up", examples=[8])


class CopyTrainingRecipe(TrainingRecipe, frozen=True):
    """Training of the made-up task."""

    symbols: AtLeastOne = Field(5, description="how many tokens there are")


class CopyRecipe(Recipe, frozen=True):
    """Recipe of the made-up task."""

    data: CopyDataRecipe
    training: CopyTrainingRecipe


class Rows(Dataset[Any]):
    def __init__(self, count: int, symbols: int) -> None:
        self._rows = np.random.default_rng(count).integers(1, symbols, (count, 6))
        self.lengths = [6] * count

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Any:
        return self._rows[index]


class CopyData(TaskData[Rows]):
    def __init__(self, recipe: CopyRecipe) -> None:
        self.processor = None
        self.train = Rows(recipe.data.made_up, recipe.training.symbols)
        self.validation = Rows(4, recipe.training.symbols)
        self.config = make_config(recipe, None, None)
        self.config.vocab_size, self.config.pad_token_id = recipe.training.symbols, 0

    def collate(self, examples: Any) -> dict[str, torch.Tensor]:
        ids = torch.from_numpy(np.stack(examples))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}

    def new_metric(self) -> HiddenTokenMetric:
        return HiddenTokenMetric()

    def evaluate_batch(self, model: Any, batch: dict[str, Any], metric: Any) -> tuple[float, int]:
        outputs = outputs_with_summed_loss(model, batch)
        right = int((outputs.logits.argmax(-1) == batch["labels"]).sum())
        metric.update(float(outputs.loss), right, batch["labels"].numel())
        return float(outputs.loss), batch["labels"].numel()

    def test_metrics(self, run: Any) -> dict[str, float]:
        return self.evaluate(run.model, self.validation, run.recipe.training).result()

    def describe(self) -> Iterator[str]:
        return describe_splits(train=f"{len(self.train)} rows", validation="4 rows", test=None)


class Copying(Task):
    head = ReformerForMaskedLM
    best_metric = "perplexity"
    greater_is_better = False
    recipe_type = CopyRecipe
    processor_file = None

    def load_data(self, recipe: CopyRecipe, start: Any = None) -> CopyData:
        return CopyData(recipe)


def test_a_new_task_is_its_own_file_and_one_line_in_the_registry(tmp_path, monkeypatch):
    monkeypatch.setitem(TASKS, "copying", Copying())
    (tmp_path / "nothing").touch()
    tables = {
        "data": {"train": str(tmp_path / "nothing"), "made_up": 8},
        "model": dict(MODEL),
        "training": {"task": "copying", "max_steps": 2, "num_evaluations": 1, "symbols": 7, "device": "cpu"},
    }
    path = tmp_path / "recipe.toml"
    write_recipe(checked_recipe(tables), path)
    recipe = read_recipe(path)
    assert type(recipe) is CopyRecipe
    metrics = train(recipe, tmp_path / "run", console=Console(quiet=True))
    assert metrics["test"]["perplexity"] == pytest.approx(metrics["validation"]["perplexity"], rel=1e-4)
    with pytest.raises(RecipeError, match=r"data\.made_up: this has to be given, such as 8"):
        checked_recipe(tables | {"data": {"train": "nothing"}})
    with pytest.raises(RecipeError, match=r"data\.made_up is for copying; leave it out for token-classification"):
        checked_recipe(ner_recipe(tmp_path) | {"data": tables["data"]})
