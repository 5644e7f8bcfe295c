"""Every task's run, interrupted and resumed, is the run that was not interrupted; any other is not resumed."""

import shutil
import signal

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from reformer.runs.folder import RunError
from reformer.runs.loading import load_run
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.resume import kept_changes, kept_start
from reformer.training.train import InterruptedRunError, train
from tests.tiny import (
    language_recipe,
    masked_recipe,
    ner_recipe,
    pairs_recipe,
    reviews_recipe,
    series_recipe,
)
from tests.training.starts import recipe_from

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


@pytest.mark.parametrize("options", [{}, {"gradient_accumulation": 2}, {"ema_decay": 0.9}])
@pytest.mark.parametrize("step", [4, 7])
def test_a_labeller_interrupted_and_resumed_is_uninterrupted(tmp_path, interrupt_at, monkeypatch, step, options):
    recipe = checked_recipe(ner_recipe(tmp_path, **options))
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


def test_a_hang_up_saves_and_stops(tmp_path, interrupt_at):
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        interrupt_at(3, signal.SIGHUP)
        with pytest.raises(InterruptedRunError, match=r"everything up to step \d+ is kept") as stopped:
            train(checked_recipe(ner_recipe(tmp_path)), tmp_path / "run", console=QUIET)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert stopped.value.exit_status == 128 + signal.SIGHUP
    assert any((tmp_path / "run/checkpoints").iterdir())


def test_another_recipe_or_a_finished_run_is_not_resumed(tmp_path, interrupt_at):
    tables = ner_recipe(tmp_path)
    with pytest.raises(RunError, match="there is no checkpoint to resume from"):
        train(checked_recipe(tables), tmp_path / "run", resume=True, console=QUIET)
    interrupt_at(3)
    with pytest.raises(InterruptedRunError):
        train(checked_recipe(tables), tmp_path / "run", console=QUIET)
    tables["training"]["learning_rate"] = 1e-3
    with pytest.raises(RunError, match=r"training\.learning_rate was 0\.02 and is 0\.001"):
        train(checked_recipe(tables), tmp_path / "run", resume=True, console=QUIET)


@pytest.mark.parametrize("text", ["", "[1]", "5", "[" * 100_000, '{"attention_layers": 5, "nonsense": 1}'], ids=repr)
def test_a_damaged_start_is_one_message(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    (tmp_path / "changes.json").write_text(text)
    with pytest.raises(RunError, match=r"config\.json: this cannot be read: .*; begin again with --overwrite"):
        kept_start("x", tmp_path)
    with pytest.raises(RunError, match=r"changes\.json: this cannot be read: .*; begin again with --overwrite"):
        kept_changes("x", tmp_path)


def test_a_resumed_run_does_not_read_its_start_again(labeller, tmp_path, interrupt_at):
    shutil.copytree(labeller, tmp_path / "start")
    recipe = recipe_from(tmp_path / "start", reviews_recipe(tmp_path, epochs=1.5), hidden_dropout_prob=0.2)
    whole = train(recipe, tmp_path / "whole", console=QUIET)
    interrupt_at(3)
    with pytest.raises(InterruptedRunError):
        train(recipe, tmp_path / "parts", console=QUIET)
    interrupt_at(-1)
    shutil.rmtree(tmp_path / "start")
    parts = train(recipe, tmp_path / "parts", resume=True, console=QUIET)
    expected, found = load_file(tmp_path / "whole/model.safetensors"), load_file(tmp_path / "parts/model.safetensors")
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name
    assert whole["start"] == parts["start"]
    assert whole["validation"] == parts["validation"]
    assert not (tmp_path / "parts" / "start").exists()
