"""Language models from recipe to run folder, measured in bits a byte."""

import io
import json
import math

import pytest
from rich.console import Console

from reformer.data import DataError
from reformer.metrics.language import TextMetric
from reformer.recipe import RecipeError
from reformer.runs.folder import RunError
from reformer.runs.loading import load_run
from reformer.tasks.documents.task import DocumentTask
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import train
from tests.tiny import language_recipe, ner_recipe, write_text

QUIET = Console(quiet=True)


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REFORMER_CACHE", str(tmp_path / "cache"))


def _train(tables: dict, folder, **options):
    return train(checked_recipe(tables), folder, **{"console": QUIET, **options})


def test_a_language_model_learns_and_keeps_its_best_weights(tmp_path):
    tables = language_recipe(tmp_path, max_steps=40, logging_steps=5)
    tables["data"]["test"] = str(write_text(tmp_path / "test.txt", 700, seed=1))
    console = Console(record=True, width=200, file=io.StringIO())
    metrics = _train(tables, tmp_path / "run", console=console)
    # A byte drawn blindly takes 8 bits.
    assert metrics["test"]["bits_per_byte"] < 3
    assert metrics["test"]["perplexity"] == pytest.approx(2 ** metrics["test"]["bits_per_byte"])
    size = (tmp_path / "test.txt").stat().st_size
    assert metrics["test"]["tokens"] == size - math.ceil(size / 128)
    shown = console.export_text()
    assert "bits/byte" in shown
    assert "sequences of 128 tokens" in shown
    run = load_run(tmp_path / "run")
    assert run.model.config.is_decoder
    history = [line for line in shown.splitlines() if "measured" in line]
    assert len(history) == 3
    assert all("best so far" in line for line in history)


def test_the_best_is_the_least_bits(tmp_path, monkeypatch):
    results = iter([2.0, 1.0, 3.0])
    result = TextMetric.result

    def given(self):
        return result(self) | ({"bits_per_byte": next(results)} if self.counts[1] else {})

    monkeypatch.setattr(TextMetric, "result", given)
    metrics = _train(language_recipe(tmp_path), tmp_path / "run")
    assert metrics["validation"]["step"] == 8
    assert metrics["validation"]["bits_per_byte"] == 1.0


def test_tokens_of_characters_are_measured_in_bytes_too(tmp_path):
    tables = language_recipe(tmp_path, max_steps=2, batch_tokens=None, batch_size=2)
    tables["tokenizer"] = {"kind": "character"}
    tables["data"] |= {"eval_tokens": 100, "validation": str(write_text(tmp_path / "v.txt", 600, seed=2))}
    found = _train(tables, tmp_path / "run")["validation"]
    text = (tmp_path / "v.txt").read_text(encoding="utf-8")
    ratio = len(text.encode()) / len(text)
    assert found["tokens"] == 127
    assert found["bits_per_byte"] == pytest.approx(math.log2(found["perplexity"]) / ratio)


@pytest.mark.parametrize(
    ("table", "field", "value", "message"),
    [
        ("data", "sequence_length", None, r"data\.sequence_length = null: expected a valid integer"),
        ("data", "max_length", 100, r"data\.max_length is for token-classification .*; leave it out"),
        ("data", "sequence_length", 2**21, r"more than model\.max_position_embeddings = 1048576"),
        ("model", "is_decoder", False, "a language model must not read ahead"),
    ],
)
def test_a_field_that_does_not_fit_the_task_is_named(tmp_path, table, field, value, message):
    tables = language_recipe(tmp_path)
    tables[table][field] = value
    with pytest.raises(RecipeError, match=message):
        checked_recipe(tables)


def test_a_sequence_length_has_to_be_given(tmp_path):
    tables = language_recipe(tmp_path)
    del tables["data"]["sequence_length"]
    with pytest.raises(RecipeError, match=r"data\.sequence_length: this has to be given, such as 16384"):
        checked_recipe(tables)


def test_documents_have_no_sequence_length(tmp_path):
    tables = ner_recipe(tmp_path)
    tables["data"]["sequence_length"] = 100
    with pytest.raises(RecipeError, match=r"data\.sequence_length is for language-modelling; leave it out for"):
        checked_recipe(tables)


def test_too_little_text_is_said(tmp_path):
    tables = language_recipe(tmp_path)
    (tmp_path / "text.txt").write_text("a", encoding="utf-8")
    with pytest.raises(DataError, match="too few to hold a part out"):
        _train(tables, tmp_path / "run")
    (tmp_path / "text.txt").write_text("abc", encoding="utf-8")
    with pytest.raises(DataError, match="there is one token in it"):
        _train(tables, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_of_another_task_is_named(tmp_path):
    _train(language_recipe(tmp_path, max_steps=1), tmp_path / "run")
    with pytest.raises(RunError, match=r"has learned language-modelling; give one .* token-classification or sequence"):
        load_run(tmp_path / "run", DocumentTask)
    assert json.loads((tmp_path / "run/metrics.json").read_text())["test"] is None
