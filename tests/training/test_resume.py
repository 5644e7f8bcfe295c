"""Every task's run, interrupted and resumed, is the run that was not interrupted (see test_train.py for labellers)."""

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import InterruptedRunError, train
from tests.tiny import language_recipe, masked_recipe, pairs_recipe, reviews_recipe, series_recipe

QUIET = Console(quiet=True)


@pytest.mark.parametrize("tables", [language_recipe, masked_recipe, pairs_recipe, reviews_recipe, series_recipe])
def test_interrupted_and_resumed_is_uninterrupted(tmp_path, interrupt_at, monkeypatch, tables):
    monkeypatch.setenv("REFORMER_CACHE", str(tmp_path / "cache"))
    recipe = checked_recipe(tables(tmp_path, max_steps=8, num_evaluations=2))
    whole = train(recipe, tmp_path / "whole", console=QUIET)
    assert whole["training"]["steps"] > 7
    interrupt_at(5)
    with pytest.raises(InterruptedRunError):
        train(recipe, tmp_path / "parts", console=QUIET)
    interrupt_at(-1)
    parts = train(recipe, tmp_path / "parts", console=QUIET, resume=True)
    expected, found = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name
    assert whole["validation"] == parts["validation"]
    assert whole["test"] == parts["test"]
