"""A run by LoRA: it keeps an adapter or a whole model, and resumes."""

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from reformer.recipe import RecipeError
from reformer.runs.loading import load_run
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.predicting import PredictingTask
from reformer.training.train import InterruptedRunError, train
from tests.tiny import ner_recipe, reviews_recipe
from tests.training.starts import recipe_altering

QUIET = Console(quiet=True)


def test_a_run_by_lora_keeps_an_adapter_that_every_command_loads(labeller, tmp_path, capsys):
    tables = reviews_recipe(tmp_path)
    del tables["tokenizer"]
    metrics = train(recipe_altering(labeller, tables, lora_rank=2, lora_targets=["value", "inner"]), tmp_path / "run")
    assert "of the weights learn, the others are frozen" in capsys.readouterr().err
    assert metrics["validation"]["accuracy"] > 0.9
    assert not (tmp_path / "run" / "model.safetensors").exists()
    small, whole = ((tmp_path / "run" / "adapter_model.safetensors"), labeller / "model.safetensors")
    assert small.stat().st_size < whole.stat().st_size / 2
    run = load_run(tmp_path / "run", PredictingTask)
    scores = run.task.evaluate(run, [tables["data"]["train"]], PredictOptions())
    assert scores["accuracy"] > 0.9
    # Another run starts from it as from any other.
    again = train(
        recipe_altering(tmp_path / "run", tables, lora_rank=1, lora_merge=True), tmp_path / "again", console=QUIET
    )
    assert again["start"]["new"] == []
    assert (tmp_path / "again" / "model.safetensors").exists()
    assert load_run(tmp_path / "again").model.config.num_labels == 2


def test_a_run_by_lora_resumes(labeller, tmp_path, interrupt_at):
    tables = reviews_recipe(tmp_path, epochs=1.5)
    del tables["tokenizer"]
    recipe = recipe_altering(labeller, tables, lora_rank=2)
    whole = train(recipe, tmp_path / "whole", console=QUIET)
    interrupt_at(3)
    with pytest.raises(InterruptedRunError):
        train(recipe, tmp_path / "parts", console=QUIET)
    interrupt_at(-1)
    parts = train(recipe, tmp_path / "parts", resume=True, console=QUIET)
    name = "adapter_model.safetensors"
    expected, found = (load_file(tmp_path / each / name) for each in ("whole", "parts"))
    assert expected.keys() == found.keys()
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
    assert (whole["start"], whole["validation"]) == (parts["start"], parts["validation"])


@pytest.mark.parametrize(
    ("finetune", "message"),
    [
        ({"lora_alpha": 2.0}, "lora_alpha: there are no products without a rank; give lora_rank"),
        ({"lora_rank": 2, "freeze": ["0"]}, "lora_rank freezes all that is trained; leave freeze out"),
        ({"lora_rank": 2, "keep_layers": [0]}, "keep_layers with lora_rank: an adapter belongs to the model as it was"),
    ],
)
def test_what_does_not_go_with_lora_is_refused(labeller, tmp_path, finetune, message):
    with pytest.raises(RecipeError, match=message):
        recipe_altering(labeller, ner_recipe(tmp_path), **finetune)


def test_a_trimmed_model_by_lora_is_kept_whole(labeller, tmp_path):
    recipe = recipe_altering(labeller, ner_recipe(tmp_path, max_steps=2), keep_layers=[1], lora_rank=2, lora_merge=True)
    train(recipe, tmp_path / "run", console=QUIET)
    assert load_run(tmp_path / "run").model.config.num_hidden_layers == 1
