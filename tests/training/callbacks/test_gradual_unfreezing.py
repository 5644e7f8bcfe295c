"""Gradual unfreezing opens layers while the score improves, also in a resumed run."""

import pytest
from rich.console import Console

from reformer.training.train import InterruptedRunError, train
from tests.tiny import reviews_recipe
from tests.training.starts import recipe_from

QUIET = Console(quiet=True)


def test_auto_opens_layers_while_the_score_improves_and_stops(labeller, tmp_path, capsys, interrupt_at):
    tables = reviews_recipe(tmp_path, epochs=40, learning_rate=2e-3, num_evaluations=40)
    recipe = recipe_from(labeller, tables)
    recipe = recipe.model_copy(update={"finetune": recipe.finetune.model_copy(update={"freeze": "auto"})})
    metrics = train(recipe, tmp_path / "run")
    said = capsys.readouterr().err
    assert "begins to learn: layer 1" in said
    assert metrics["training"]["steps"] < 40 * 5
    opened = said.count("begins to learn")
    assert metrics["start"]["learned"]["layers"] <= opened
    interrupt_at(9)
    with pytest.raises(InterruptedRunError):
        train(recipe, tmp_path / "parts", console=QUIET)
    interrupt_at(-1)
    parts = train(recipe, tmp_path / "parts", resume=True, console=QUIET)
    assert parts["start"] == metrics["start"]
    assert parts["validation"] == metrics["validation"]
