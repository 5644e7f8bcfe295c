"""`reformer train` in processes that hold a part of each row learns what one process learns, or is refused once."""

import json

import pytest

from reformer.cli import errors
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import train
from tests.processes import trained_in_processes
from tests.tiny import language_recipe, ner_recipe, reviews_recipe


@pytest.mark.parametrize("recipe", [language_recipe, ner_recipe, reviews_recipe])
def test_two_processes_learn_what_one_learns(recipe, tmp_path):
    tables = recipe(tmp_path, max_steps=6)
    # Of what drops out, each part draws its own.
    tables["model"]["hidden_dropout_prob"] = 0.0
    one = train(checked_recipe(tables), tmp_path / "one")
    tables["training"]["sequence_parallel"] = 2
    statuses, said = trained_in_processes(2, tmp_path, tables)
    assert statuses == [0, 0], said
    two = json.loads((tmp_path / "run/metrics.json").read_text(encoding="utf-8"))
    assert two["validation"]["loss"] == pytest.approx(one["validation"]["loss"], rel=1e-3)
    seen = [found["training"]["tokens"] for found in (one, two)]
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("parts", "model", "words"),
    [
        (3, {}, "in 2 processes: expected a multiple of it"),
        (2, {"attention_layers": ["fourier"]}, "filters reach over"),
    ],
)
def test_what_cannot_be_divided_is_said_once(parts, model, words, tmp_path, monkeypatch):
    monkeypatch.setattr(errors, "SECONDS_TO_SAY", 0.0)
    tables = language_recipe(tmp_path, sequence_parallel=parts)
    tables["model"] |= model
    statuses, said = trained_in_processes(2, tmp_path, tables)
    assert statuses == [1, 1]
    assert words in said[0]
    assert "training.sequence_parallel" in said[0]
    assert said[1] == ""


def test_one_process_cannot_hold_two_parts(tmp_path):
    statuses, said = trained_in_processes(1, tmp_path, language_recipe(tmp_path, sequence_parallel=2))
    assert statuses == [1]
    assert "torchrun --nproc-per-node 2" in said[0]
