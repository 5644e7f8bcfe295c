"""The precision is the fastest of the machine where a run begins, and stays."""

from io import StringIO

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from reformer.ops import native
from reformer.runs.loading import load_run
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import InterruptedRunError, train
from tests.tiny import ner_recipe

QUIET = Console(quiet=True)


@pytest.mark.parametrize(("begun", "elsewhere"), [("bfloat16", "float32"), ("float32", "bfloat16")])
def test_a_run_takes_what_its_machine_is_fastest_in_and_keeps_it(tmp_path, interrupt_at, monkeypatch, begun, elsewhere):
    recipe = checked_recipe(ner_recipe(tmp_path, precision="auto", max_steps=4, num_evaluations=1))
    shown = StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(native, "multiplies_bfloat16", lambda: begun == "bfloat16")
        whole = train(recipe, tmp_path / "whole", console=Console(file=shown, width=200))
        interrupt_at(2)
        with pytest.raises(InterruptedRunError):
            train(recipe, tmp_path / "parts", console=QUIET)
        monkeypatch.undo()
    assert f"products in {begun}" in shown.getvalue()
    assert whole["training"]["precision"] == begun
    monkeypatch.setattr(native, "multiplies_bfloat16", lambda: elsewhere == "bfloat16")
    parts = train(recipe, tmp_path / "parts", resume=True, console=QUIET)
    assert parts["training"]["precision"] == load_run(tmp_path / "parts").recipe.training.precision == begun
    assert parts["validation"] == whole["validation"]
    expected, found = load_file(tmp_path / "whole/model.safetensors"), load_file(tmp_path / "parts/model.safetensors")
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
