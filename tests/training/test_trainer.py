"""Evaluation, the end of a run whose loss is not finite, and parts of rows."""

from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from reformer.runs.loading import load_run
from reformer.tasks.document_splits import load_splits
from reformer.tasks.documents.prediction import evaluate
from reformer.tasks.documents.task import DocumentTask
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training import trainer
from reformer.training.train import train
from reformer.training.trainer import DivergedError
from tests.contract.models import HEADS
from tests.tiny import ner_recipe

QUIET = Console(quiet=True)


@pytest.mark.parametrize("options", [{}, {"ema_decay": 0.9}])
def test_the_kept_weights_are_the_best_ones(tmp_path, options):
    metrics = train(checked_recipe(ner_recipe(tmp_path, **options)), tmp_path / "run", console=QUIET)
    recipe, run = load_run(tmp_path / "run").recipe, load_run(tmp_path / "run", DocumentTask)
    again = evaluate(run, load_splits(recipe.data, recipe.training.seed).validation)
    assert again["f1"] == metrics["validation"]["f1"]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("layers", [["lsh", "local"], ["local"]])
def test_a_loss_that_is_no_number_ends_the_run(tmp_path, precision, layers):
    options = {"max_grad_norm": 0.0, "logging_steps": 1, "warmup_ratio": 0.0, "precision": precision}
    tables = ner_recipe(tmp_path, learning_rate=1e30, **options)
    tables["model"]["attention_layers"] = layers
    recipe = checked_recipe(tables)
    with pytest.raises(DivergedError, match=r"the loss is (nan|inf) at step \d+; lower training\.learning_rate"):
        train(recipe, tmp_path / "run", console=QUIET)


@pytest.mark.parametrize(("head", "cut"), [("token-classification", True), ("multi-label-classification", False)])
def test_labels_of_whole_texts_are_not_cut_with_the_tokens(head, cut, monkeypatch):
    """Several labels a text may be as many as a row has tokens."""
    seen = []
    monkeypatch.setattr(trainer, "shard_sequence", lambda batch, group, of_tokens: seen.append(of_tokens))
    trained = SimpleNamespace(_bare=HEADS[head].build("local"))
    trainer.CountingTrainer._own_part(trained, {"labels": torch.zeros(2, 5)}, None)
    assert ("labels" in seen[0]) == cut
    assert "input_ids" in seen[0]
