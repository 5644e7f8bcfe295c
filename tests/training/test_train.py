"""A run from recipe to folder; interrupted and resumed it is the run that was not interrupted."""

import json
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from reformer.data import DataError, read_documents
from reformer.ops import native
from reformer.recipe import Recipe
from reformer.runs.folder import RunError
from reformer.runs.loading import load_run
from reformer.runs.recipe_file import write_recipe
from reformer.tasks.documents.task import evaluate
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.callbacks import freed_memory as kept_memory
from reformer.training.train import InterruptedRunError, train
from reformer.training.trainer import DivergedError
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
        "config.json",
        "learning_curve.png",
        "logs",
        "metrics.json",
        "model.safetensors",
        "recipe.toml",
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


@pytest.mark.parametrize("options", [{}, {"ema_decay": 0.9}])
def test_the_kept_weights_are_the_best_ones(tmp_path, options):
    metrics = train(_recipe(ner_recipe(tmp_path, **options)), tmp_path / "run", console=QUIET)
    recipe, run = load_run(tmp_path / "run").recipe, load_run(tmp_path / "run")
    from reformer.tasks.document_splits import load_splits

    again = evaluate(run, load_splits(recipe.data, recipe.training.seed).validation)
    assert again["f1"] == metrics["validation"]["f1"]


@pytest.mark.parametrize("options", [{}, {"gradient_accumulation": 2}, {"ema_decay": 0.9}])
@pytest.mark.parametrize("step", [4, 7])
def test_interrupted_and_resumed_is_uninterrupted(tmp_path, interrupt_at, monkeypatch, step, options):
    recipe = _recipe(ner_recipe(tmp_path, **options))
    whole = train(recipe, tmp_path / "whole", console=QUIET)
    with monkeypatch.context():
        # Ctrl-C, and what a batch system sends.
        number = signal.SIGINT if step == 4 else signal.SIGTERM
        interrupt_at(step, number)
        with pytest.raises(InterruptedRunError, match=r"everything up to step \d+ is kept") as stopped:
            train(recipe, tmp_path / "parts", console=QUIET)
        assert stopped.value.exit_status == 128 + number
        monkeypatch.undo()
    # The interruption is seen at the end of its step, or of the next one.
    kept = [int(folder.name.removeprefix("checkpoint-")) for folder in (tmp_path / "parts/checkpoints").iterdir()]
    assert max(kept) in (step, step + 1)
    with pytest.raises(RunError, match=r"its training has not finished.*--resume"):
        load_run(tmp_path / "parts")

    loads = []
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: loads.append(kwargs) or load(*args, **kwargs))
    parts = train(recipe, tmp_path / "parts", resume=True, console=QUIET)
    assert loads, "the optimizer's and the generators' state was not read"
    assert all(kwargs["weights_only"] for kwargs in loads), "a checkpoint must not be able to run code"

    expected, found = load_file(tmp_path / "whole/model.safetensors"), load_file(tmp_path / "parts/model.safetensors")
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name
    assert whole["validation"] == parts["validation"]
    assert whole["test"] == parts["test"]
    assert whole["training"]["tokens"] == parts["training"]["tokens"]


@pytest.mark.parametrize(("begun", "elsewhere"), [("bfloat16", "float32"), ("float32", "bfloat16")])
def test_a_run_takes_what_its_machine_is_fastest_in_and_keeps_it(tmp_path, interrupt_at, monkeypatch, begun, elsewhere):
    recipe = _recipe(ner_recipe(tmp_path, precision="auto", max_steps=4, num_evaluations=1))
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


def test_a_run_keeps_large_freed_memory_until_it_ends(tmp_path, monkeypatch):
    sizes, ended = [], []
    monkeypatch.setattr(kept_memory, "gives_back", lambda size: sizes.append(size) or True)
    monkeypatch.setattr(kept_memory, "memory_left", lambda: 1 << 60)
    monkeypatch.setattr(kept_memory.FreedMemory, "release", lambda self: ended.append(self))
    monkeypatch.setattr(kept_memory, "_keep", lambda: True)
    shown = StringIO()
    recipe = _recipe(ner_recipe(tmp_path, max_steps=2, num_evaluations=1))
    metrics = train(recipe, tmp_path / "run", console=Console(file=shown, width=400))
    [size] = sizes
    assert 0 < size < 4 * recipe.model["hidden_size"] * metrics["training"]["tokens"]
    assert kept_memory.KEPT in shown.getvalue()
    assert len(ended) == 1


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


def test_another_recipe_or_a_finished_run_is_not_resumed(tmp_path, interrupt_at):
    tables = ner_recipe(tmp_path)
    with pytest.raises(RunError, match="there is no checkpoint to resume from"):
        train(_recipe(tables), tmp_path / "run", resume=True, console=QUIET)
    interrupt_at(3)
    with pytest.raises(InterruptedRunError):
        train(_recipe(tables), tmp_path / "run", console=QUIET)
    tables["training"]["learning_rate"] = 1e-3
    with pytest.raises(RunError, match=r"training\.learning_rate was 0\.02 and is 0\.001"):
        train(_recipe(tables), tmp_path / "run", resume=True, console=QUIET)


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


def test_the_clock_ends_a_run(tmp_path):
    recipe = _recipe(ner_recipe(tmp_path, max_steps=None, max_minutes=0.02, num_evaluations=2))
    metrics = train(recipe, tmp_path / "run", console=QUIET)
    assert 0.02 <= metrics["training"]["minutes"] < 0.2
    assert metrics["training"]["steps"] >= 1


def test_early_stopping_ends_a_run_that_gains_nothing(tmp_path):
    # Without learning no evaluation is better than the first.
    recipe = _recipe(
        ner_recipe(tmp_path, max_steps=60, num_evaluations=30, learning_rate=1e-12, early_stopping_patience=2)
    )
    assert train(recipe, tmp_path / "run", console=QUIET)["training"]["steps"] == 6


def test_the_options_of_a_run_reach_it(tmp_path):
    tables = ner_recipe(
        tmp_path,
        max_steps=2,
        precision="bfloat16",
        num_threads=1,
        max_grad_norm=0.0,
        weight_decay=0.0,
        logging_steps=1,
        seed=5,
    )
    tables["tokenizer"] = {"kind": "character", "vocab_size": 270, "min_frequency": 2}
    tables["data"]["separator"] = "\n\n"
    train(_recipe(tables), tmp_path / "run", console=QUIET)
    run = load_run(tmp_path / "run")
    assert run.model.config.vocab_size == len(run.tokenizer) <= 270
    assert torch.get_num_threads() == 1


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


def test_a_loss_that_is_no_number_ends_the_run(tmp_path):
    recipe = _recipe(ner_recipe(tmp_path, learning_rate=1e30, max_grad_norm=0.0, logging_steps=1, warmup_ratio=0.0))
    with pytest.raises(DivergedError, match=r"the loss is (nan|inf) at step \d+; lower training\.learning_rate"):
        train(recipe, tmp_path / "run", console=QUIET)


def test_measuring_reads_a_validation_file(tmp_path):
    tables = ner_recipe(tmp_path, max_steps=2)
    del tables["data"]["validation_fraction"]
    tables["data"]["validation"] = str(write_conll(tmp_path / "validation.conll", 4, seed=3))
    train(_recipe(tables), tmp_path / "run", console=QUIET)
    assert sum(1 for _ in read_documents(tmp_path / "validation.conll")) == 4


def test_rare_groups_are_counted_before_the_first_step_and_kept(tmp_path):
    tables = ner_recipe(tmp_path, max_steps=3, num_evaluations=1)
    tables["model"] |= {"ngram_sizes": [2], "ngram_rows": 4099, "ngram_width": 4, "ngram_min_frequency": 3}
    train(checked_recipe(tables), tmp_path / "run", console=QUIET)
    frequent = load_run(tmp_path / "run").model.base_model.ngrams.frequent
    # The few words of the sentences give a few dozen pairs, names among them that come up less than three times.
    assert 10 < int(frequent.sum()) < 200
