"""A run from recipe to folder, in one process and in two."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from reformer.data import DataError, read_documents
from reformer.recipe import Recipe
from reformer.runs.folder import RunError
from reformer.runs.loading import load_run
from reformer.runs.recipe_file import write_recipe
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import train
from tests.tiny import ner_recipe, reviews_recipe, write_conll

QUIET = Console(quiet=True)


def _recipe(tables: dict) -> Recipe:
    return checked_recipe(tables)


def test_a_labeller_learns_and_leaves_a_whole_folder(tmp_path):
    recipe = _recipe(ner_recipe(tmp_path, max_steps=40))
    metrics = train(recipe, tmp_path / "run", console=QUIET)
    assert metrics["test"]["f1"] > 0.9
    assert metrics["test"]["documents"] > 1
    folder = tmp_path / "run"
    assert {file.name for file in folder.iterdir()} == {
        ".reformer-run.json",
        "README.md",
        "calibration.json",
        "config.json",
        "learning_curve.png",
        "logs",
        "metrics.json",
        "model.safetensors",
        "modeling_reformer_torch.py",
        "recipe.toml",
        "report.html",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert json.loads((folder / "config.json").read_text())["id2label"]["1"] == "B-LOC"
    assert (folder / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert any((folder / "logs").iterdir())
    run = load_run(folder)
    assert run.recipe == recipe
    assert run.labels[:3] == ["O", "B-LOC", "I-LOC"]


def test_a_classifier_learns_by_epochs(tmp_path):
    metrics = train(_recipe(reviews_recipe(tmp_path)), tmp_path / "run", console=QUIET)
    assert metrics["training"]["epochs"] == 2.0
    assert metrics["validation"]["accuracy"] == 1.0
    assert metrics["test"] is None


@pytest.mark.slow
def test_two_processes_make_the_steps_of_one_with_two_batches(tmp_path):
    tables = ner_recipe(tmp_path, gradient_accumulation=2)
    # Each process draws its own dropout and rotations; without them both ways are one computation.
    tables["model"] |= {"hidden_dropout_prob": 0.0, "attention_layers": ["local", "full"]}
    alone = train(_recipe(tables), tmp_path / "alone", console=QUIET)
    tables["training"]["gradient_accumulation"] = 1
    write_recipe(_recipe(tables), tmp_path / "two.toml")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "reformer", "train"]
    subprocess.run([*launch, tmp_path / "two.toml", "--output", tmp_path / "two"], check=True, timeout=120)
    expected, found = load_file(tmp_path / "alone/model.safetensors"), load_file(tmp_path / "two/model.safetensors")
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-5, rtol=1e-4, msg=name)
    metrics = json.loads((tmp_path / "two/metrics.json").read_text())
    assert metrics["validation"]["f1"] == alone["validation"]["f1"]
    assert metrics["training"]["processes"] == 2
    assert metrics["training"]["tokens"] == alone["training"]["tokens"]


def test_a_run_is_not_written_over_unasked(tmp_path):
    recipe = _recipe(ner_recipe(tmp_path, max_steps=2))
    train(recipe, tmp_path / "run", console=QUIET)
    with pytest.raises(RunError, match=r"exists already; take another --output, --resume .* or --overwrite"):
        train(recipe, tmp_path / "run", console=QUIET)
    with pytest.raises(RunError, match="this run is finished"):
        train(recipe, tmp_path / "run", resume=True, console=QUIET)
    train(recipe, tmp_path / "run", overwrite=True, console=QUIET)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(RunError, match="exists already"):
        train(recipe, tmp_path / "other", overwrite=True, console=QUIET)
    assert (tmp_path / "other" / "thesis.txt").exists()


def test_a_tokenizer_can_be_given_as_a_folder(tmp_path):
    tables = ner_recipe(tmp_path, max_steps=2)
    train(_recipe(tables), tmp_path / "first", console=QUIET)
    tables["tokenizer"] = {"kind": str(tmp_path / "first")}
    train(_recipe(tables), tmp_path / "second", console=QUIET)
    first, second = load_run(tmp_path / "first"), load_run(tmp_path / "second")
    assert first.tokenizer.get_vocab() == second.tokenizer.get_vocab()


def test_training_leaves_no_trace_of_a_run_with_bad_data(tmp_path):
    tables = ner_recipe(tmp_path)
    test = Path(tables["data"]["test"])
    test.write_text(test.read_text(encoding="utf-8").replace("-LOC", "-PLANET"), encoding="utf-8")
    with pytest.raises(DataError, match=r"test\.conll:1: the label 'B-PLANET' was not seen in training"):
        train(_recipe(tables), tmp_path / "run", console=QUIET)
    assert not (tmp_path / "run").exists()


def test_a_document_over_the_maximum_is_named(tmp_path):
    tables = ner_recipe(tmp_path)
    tables["model"]["max_position_embeddings"] = 30
    with pytest.raises(DataError, match=r"train\.conll:\d+: this document has \d+ tokens, .* at most 30"):
        train(_recipe(tables), tmp_path / "run", console=QUIET)


def test_text_without_entities_or_labels_is_no_training_data(tmp_path):
    tables = ner_recipe(tmp_path)
    tables["data"] = {"train": str(tmp_path / "plain.jsonl")}
    (tmp_path / "plain.jsonl").write_text('{"text": "北京"}\n' * 4, encoding="utf-8")
    with pytest.raises(
        DataError,
        match=r"(?s)4 records cannot be learned from; correct them.*nothing says which entities this text has",
    ):
        train(_recipe(tables), tmp_path / "run", console=QUIET)
    lines = [f'{{"text": "北京{chr(0x4E00 + number)}", "spans": []}}\n' for number in range(4)]
    (tmp_path / "plain.jsonl").write_text("".join(lines), encoding="utf-8")
    with pytest.raises(DataError, match="the training documents have no entity at all"):
        train(_recipe(tables), tmp_path / "run", console=QUIET)
    tables = reviews_recipe(tmp_path)
    tables["data"]["train"] = str(write_conll(tmp_path / "a.conll", 5))
    with pytest.raises(DataError, match=r"a\.conll:\d+: this text has no label"):
        train(_recipe(tables), tmp_path / "run", console=QUIET)


def test_one_label_is_nothing_to_learn(tmp_path):
    tables = reviews_recipe(tmp_path)
    (tmp_path / "reviews.csv").write_text("text,label\n好,pos\n很好,pos\n真好,pos\n", encoding="utf-8")
    with pytest.raises(DataError, match="every training document has the label 'pos'"):
        train(_recipe(tables), tmp_path / "run", console=QUIET)


def test_measuring_reads_a_validation_file(tmp_path):
    tables = ner_recipe(tmp_path, max_steps=2)
    del tables["data"]["validation_fraction"]
    tables["data"]["validation"] = str(write_conll(tmp_path / "validation.conll", 4, seed=3))
    train(_recipe(tables), tmp_path / "run", console=QUIET)
    assert sum(1 for _ in read_documents(tmp_path / "validation.conll")) == 4
