"""Masked language models from recipe to run folder."""

import io

import pytest
import torch
from pydantic import ValidationError
from rich.console import Console

from reformer.data import byte_tokenizer
from reformer.models import ReformerForMaskedLM
from reformer.recipe import Recipe
from reformer.runs.loading import load_run
from reformer.tasks.masked_language_modelling import hide
from reformer.training.train import train
from tests.tiny import masked_recipe, ner_recipe

QUIET = Console(quiet=True)


def _train(tables: dict, folder, **options):
    return train(Recipe.model_validate(tables), folder, **{"console": QUIET, **options})


def test_it_learns_what_is_hidden(tmp_path):
    metrics = _train(masked_recipe(tmp_path, max_steps=60, mask_ratio=0.25), tmp_path / "run")
    # Drawn blindly, one of 261 tokens.
    assert metrics["test"]["perplexity"] < 40
    assert metrics["test"]["accuracy"] > 0.2
    run = load_run(tmp_path / "run")
    assert isinstance(run.model, ReformerForMaskedLM)
    assert not run.model.config.is_decoder


def test_measured_twice_it_is_the_same(tmp_path):
    tables = masked_recipe(tmp_path, learning_rate=1e-12)
    lines = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        lines.append(_train(tables, tmp_path / f"run-{seed}")["validation"])
    assert lines[0] == lines[1]


def test_hidden_are_as_many_as_asked_and_never_padding():
    ids = torch.full((50, 400), 7)
    mask = torch.ones_like(ids)
    mask[:, 300:] = 0
    batch = hide(ids, mask, byte_tokenizer(), 0.2, torch.Generator().manual_seed(0))
    hidden = batch["labels"] != -100
    assert not hidden[:, 300:].any()
    share = hidden[:, :300].float().mean()
    assert share == pytest.approx(0.2, abs=0.02)
    shown = batch["input_ids"]
    assert torch.equal(shown[~hidden], ids[~hidden])
    assert torch.equal(batch["labels"][hidden], ids[hidden])
    masked = (shown[hidden] == byte_tokenizer().mask_token_id).float().mean()
    assert masked == pytest.approx(0.8, abs=0.04)
    kept = (shown[hidden] == 7).float().mean()
    assert kept == pytest.approx(0.1, abs=0.04)


def test_labels_are_not_read_and_texts_are_joined(tmp_path):
    (tmp_path / "texts.csv").write_text("text\n" + "北京欢迎你\n" * 40, encoding="utf-8")
    tables = masked_recipe(tmp_path)
    tables["data"] = {"train": str(tmp_path / "texts.csv"), "max_length": 60}
    console = Console(record=True, width=200, file=io.StringIO())
    _train(tables, tmp_path / "run", console=console)
    assert "learning from 3 documents" in console.export_text()


@pytest.mark.parametrize(
    ("table", "field", "value", "message"),
    [
        ("data", "sequence_length", 100, r"data\.sequence_length is for language-modelling; leave it out"),
        ("data", "label_column", "label", r"data\.label_column is for token-classification and"),
        ("model", "classifier_crf", True, r"model\.classifier_crf is for token-classification;"),
        ("model", "classifier_pooling", "max", r"model\.classifier_pooling is for sequence-classification and image-"),
        ("model", "is_decoder", True, "reads both sides"),
        ("training", "mask_ratio", 1.0, "less than 1"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, table, field, value, message):
    tables = masked_recipe(tmp_path)
    tables[table][field] = value
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate(tables)


def test_other_tasks_hide_nothing(tmp_path):
    with pytest.raises(ValidationError, match=r"training\.mask_ratio is for masked-language-modelling; leave it out"):
        Recipe.model_validate(ner_recipe(tmp_path, mask_ratio=0.1))
