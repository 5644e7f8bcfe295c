"""Dropout that changes over a run, group lasso and layer drop: what they do, also when the run is resumed."""

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from reformer.errors import ReformerError
from reformer.models import ReformerForTokenClassification
from reformer.recipe import RecipeError
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.callbacks.regularisers import DropoutSchedule
from reformer.training.schedule import Schedule
from reformer.training.train import InterruptedRunError, train
from tests.contract.models import HEADS
from tests.tiny import ner_recipe

QUIET = Console(quiet=True)


def _schedule(first, last, until):
    model = HEADS["token-classification"].build("local", hidden_dropout_prob=first)
    return DropoutSchedule(model, Schedule(100, None, 0.0, 1), last, until)


def test_dropout_goes_straight_to_its_end():
    schedule = _schedule(0.4, 0.1, None)
    assert [round(schedule.at(step), 3) for step in (0, 50, 100)] == [0.4, 0.25, 0.1]
    schedule = _schedule(0.2, None, 0.75)
    assert [schedule.at(step) for step in (0, 74, 75, 100)] == [0.2, 0.2, 0.0, 0.0]
    with pytest.raises(ReformerError, match=r"dropout_until: model.hidden_dropout_prob is 0, so there is none to end"):
        _schedule(0.0, None, 0.5)


def test_a_run_drops_out_what_its_schedule_says(tmp_path, monkeypatch):
    said = []
    whole = ReformerForTokenClassification.set_hidden_dropout
    monkeypatch.setattr(
        ReformerForTokenClassification,
        "set_hidden_dropout",
        lambda model, probability: (said.append(round(probability, 3)), whole(model, probability)),
    )
    recipe = ner_recipe(tmp_path, max_steps=10, num_evaluations=1, final_dropout=0.0, dropout_until=0.8)
    train(checked_recipe(recipe), tmp_path / "run", console=QUIET)
    assert said == [0.1, 0.09, 0.08, 0.07, 0.06, 0.05, 0.04, 0.03, 0.0, 0.0]


def test_heads_that_go_to_zero_are_worth_nothing(tmp_path):
    tables = ner_recipe(tmp_path, max_steps=30, head_lasso=30.0)
    metrics = train(checked_recipe(tables), tmp_path / "run", console=QUIET)
    assert metrics["training"]["zeros"] == {"heads": [[0, 0], [0, 1], [1, 0], [1, 1]], "layers": []}
    trimmed = ner_recipe(tmp_path, max_steps=1) | {"model": {}}
    trimmed |= {"finetune": {"start_from": str(tmp_path / "run"), "prune_heads_tolerance": 0.0}}
    start = train(checked_recipe(trimmed), tmp_path / "trimmed", console=QUIET)["start"]
    assert start["heads_worth"] == [[0.0, 0.0], [0.0, 0.0]]
    assert [len(heads) for heads in start["kept_heads"]] == [1, 1]
    assert start["trimmed_score"] == start["score"]


def test_an_average_has_no_zeros(tmp_path):
    with pytest.raises(RecipeError, match="ema_decay with head_lasso or layer_lasso: an average of weights has no"):
        checked_recipe(ner_recipe(tmp_path, ema_decay=0.9, layer_lasso=1.0))


def test_a_regularised_run_resumes(tmp_path, interrupt_at):
    tables = ner_recipe(tmp_path, max_steps=8, final_dropout=0.3, head_lasso=0.2, layer_lasso=0.1)
    tables["model"] |= {"layer_drop": 0.5, "label_smoothing": 0.1}
    recipe = checked_recipe(tables)
    whole = train(recipe, tmp_path / "whole", console=QUIET)
    interrupt_at(4)
    with pytest.raises(InterruptedRunError):
        train(recipe, tmp_path / "parts", console=QUIET)
    interrupt_at(-1)
    parts = train(recipe, tmp_path / "parts", resume=True, console=QUIET)
    expected, found = (load_file(tmp_path / each / "model.safetensors") for each in ("whole", "parts"))
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
    assert whole["validation"] == parts["validation"]
