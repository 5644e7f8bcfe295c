"""Killed at any moment, and damaged in any file, a run goes on from its newest whole checkpoint to the same end."""

import hashlib
import io
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from typer.testing import CliRunner

from reformer.cli import app
from reformer.runs.folder import RunError
from reformer.runs.recipe_file import write_recipe
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training import checkpoints
from reformer.training import train as train_module
from reformer.training import trainer as trainer_module
from reformer.training.checkpoints import DIGESTS, checkpoints_in, newest_whole
from reformer.training.train import InterruptedRunError, train
from tests.processes import forked
from tests.tiny import language_recipe, ner_recipe, write_text
from tests.training.conftest import press_at

QUIET = Console(quiet=True)


def _die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)


def _die_at(module, name, count):
    """Die instead of the `count`-th call of a function."""
    whole, calls = getattr(module, name), []

    def counted(*arguments, **options):
        calls.append(1)
        return (_die if len(calls) == count else whole)(*arguments, **options)

    setattr(module, name, counted)


PLACES = {
    "optimizer": (torch, "save"),
    "digests": (checkpoints, "write"),
    "renames": (checkpoints.os, "replace"),
    "rotation": (checkpoints, "remove_unfinished"),
    "aside": (trainer_module, "remove_unfinished"),
    "step": (trainer_module.CountingTrainer, "training_step"),
    "end": (train_module, "_save"),
}


def _killed(recipe, output: Path, moment: str, count: int) -> None:
    """Train, or go on, in another process that is killed at a moment."""

    def work():
        _die_at(*PLACES[moment], count)
        train(recipe, output, resume=(output / "recipe.toml").exists(), console=QUIET)

    assert forked(work) == -signal.SIGKILL


def _same(first: Path, second: Path) -> None:
    expected, found = load_file(first / "model.safetensors"), load_file(second / "model.safetensors")
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name
    results = [json.loads((folder / "metrics.json").read_text(encoding="utf-8")) for folder in (first, second)]
    assert results[0]["validation"] == results[1]["validation"]


def _only_what_a_run_leaves(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        "recipe.toml", "metrics.json", "learning_curve.png", "logs", "model.safetensors", "config.json",
        "tokenizer.json", "tokenizer_config.json", ".reformer-run.json", "report.html", "calibration.json",
        "modeling_reformer_torch.py", "README.md",
    }  # fmt: skip
    assert not list(folder.parent.glob(f".{folder.name}.lock*"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing has interrupted, and beside it what a run of the same recipe left when it was stopped."""
    folder = tmp_path_factory.mktemp("whole")
    recipe = checked_recipe(ner_recipe(folder, ema_decay=0.9))
    write_recipe(recipe, folder / "recipe.toml")
    torch.set_num_threads(1)
    train(recipe, folder / "whole", console=QUIET)
    with pytest.MonkeyPatch.context() as patch:
        press_at(patch, 10)
        with pytest.raises(InterruptedRunError):
            train(recipe, folder / "stopped", console=QUIET)
    return recipe, folder


@pytest.fixture
def stopped(whole, tmp_path):
    """A folder of a run that was stopped, to be damaged, and its recipe."""
    recipe, folder = whole
    shutil.copytree(folder / "stopped", tmp_path / "run")
    return recipe, tmp_path / "run", folder / "whole"


# The second checkpoint: a whole one is there, and so is the best; the third removes one.
MOMENTS = [("optimizer", 5), ("renames", 2), ("step", 1)]
MORE_MOMENTS = [
    *[("optimizer", number) for number in (1, 2, 3, 4, 6, 7, 9)],
    *[("digests", number) for number in (1, 2, 3)],
    *[("renames", number) for number in (1, 3, 4)],
    *[("rotation", number) for number in (1, 2, 3)],
    *[("aside", number) for number in (1, 2, 3)],
    *[("step", number) for number in (2, 5, 9, 12)],
    ("end", 1),
]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize(
    ("moment", "count"), [*MOMENTS, *[pytest.param(*each, marks=pytest.mark.slow) for each in MORE_MOMENTS]]
)
def test_a_killed_run_ends_as_if_it_had_not_been(whole, tmp_path, moment, count):
    recipe, folder = whole
    _killed(recipe, tmp_path / "run", moment, count)
    train(recipe, tmp_path / "run", resume=True, console=QUIET)
    _same(folder / "whole", tmp_path / "run")
    _only_what_a_run_leaves(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(whole, tmp_path):
    recipe, folder = whole
    for moment, count in [("step", 2), ("optimizer", 4), ("renames", 3), ("optimizer", 2), ("step", 3)]:
        _killed(recipe, tmp_path / "run", moment, count)
    train(recipe, tmp_path / "run", resume=True, console=QUIET)
    _same(folder / "whole", tmp_path / "run")
    _only_what_a_run_leaves(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_run_killed_by_the_clock_ends_as_if_it_had_not_been(whole, tmp_path):
    recipe, folder = whole
    for tenths in range(8):
        if (tmp_path / "run/metrics.json").exists():
            break

        def work(seconds=tenths / 10):
            begun = (tmp_path / "run/recipe.toml").exists()
            # Its default action ends the process at once, as SIGKILL does.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, 0.2 + seconds)
            train(recipe, tmp_path / "run", resume=begun, console=QUIET)

        assert forked(work) in (0, -signal.SIGALRM)
    else:
        train(recipe, tmp_path / "run", resume=True, console=QUIET)
    _same(folder / "whole", tmp_path / "run")


def _truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _one_bit_other(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


STATE = (
    "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "model.safetensors", "average.safetensors"
)  # fmt: skip


@pytest.mark.parametrize("name", [*STATE, DIGESTS])
@pytest.mark.parametrize(
    ("damage", "reason"),
    [(Path.unlink, "missing"), (_truncated, r"bytes of|damaged"), (_one_bit_other, "damaged"), (Path.mkdir, "missing")],
    ids=["lost", "truncated", "changed", "folder"],
)
def test_a_damaged_checkpoint_is_skipped_with_its_reason(stopped, name, damage, reason):
    _, run, _ = stopped
    newest, before = checkpoints_in(run / "checkpoints")
    if damage is Path.mkdir:
        (newest / name).unlink()
    damage(newest / name)
    found, skipped = newest_whole(run / "checkpoints")
    if name == DIGESTS and damage is Path.unlink:
        # As an earlier version has written it: its files load.
        assert (found, skipped) == (newest, {})
    elif name == DIGESTS:
        assert found == before
        assert list(skipped) == [newest]
    else:
        assert found == before
        assert list(skipped) == [newest]
        assert name in skipped[newest] or name.replace(".", "*.") in skipped[newest] or "*" in skipped[newest]


@pytest.mark.parametrize("name", STATE)
@pytest.mark.parametrize("damage", [Path.unlink, _truncated])
def test_a_checkpoint_of_an_earlier_version_counts_if_its_files_load(stopped, name, damage):
    _, run, _ = stopped
    newest, before = checkpoints_in(run / "checkpoints")
    (newest / DIGESTS).unlink()
    assert newest_whole(run / "checkpoints") == (newest, {})
    damage(newest / name)
    found, skipped = newest_whole(run / "checkpoints")
    if name == "average.safetensors" and damage is Path.unlink:
        # Not every run has one; whether this one does, `WeightAverage` knows.
        assert found == newest
    else:
        assert found == before
        assert list(skipped) == [newest]


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one_to_the_same_end(stopped):
    recipe, run, whole = stopped
    newest, before = checkpoints_in(run / "checkpoints")
    (newest / "optimizer.pt").unlink()
    told = io.StringIO()
    train(recipe, run, resume=True, console=Console(file=told, width=1000))
    assert f"{newest}: this checkpoint is skipped: optimizer.pt missing" in told.getvalue()
    assert f"going on from {before}" in told.getvalue()
    _same(whole, run)
    _only_what_a_run_leaves(run)


def test_a_checkpoint_whose_best_one_is_damaged_is_skipped(stopped):
    recipe, run, _ = stopped
    newest, best = checkpoints_in(run / "checkpoints")
    assert json.loads((newest / "trainer_state.json").read_bytes())["best_global_step"] == int(best.name[11:])
    _truncated(best / "average.safetensors")
    with pytest.raises(RunError, match=r"no checkpoint is whole \(.*the best one before it.*average.safetensors has"):
        train(recipe, run, resume=True, console=QUIET)


@pytest.mark.parametrize(
    "state", ["[1]", "5", "null", '{"best_global_step": "x"}', "[" * 100_000], ids=lambda s: s[:20]
)
@pytest.mark.parametrize("with_digests", [True, False])
def test_a_checkpoint_whose_state_is_no_object_is_skipped(stopped, state, with_digests):
    _, run, _ = stopped
    newest, before = checkpoints_in(run / "checkpoints")
    (newest / "trainer_state.json").write_text(state)
    if with_digests:
        digests = json.loads((newest / DIGESTS).read_bytes())
        data = state.encode()
        digests["trainer_state.json"] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        (newest / DIGESTS).write_text(json.dumps(digests))
    else:
        (newest / DIGESTS).unlink()
    assert newest_whole(run / "checkpoints") == (before, {newest: "trainer_state.json is damaged"})


def test_a_checkpoint_that_does_not_fit_is_one_message(stopped):
    recipe, run, _ = stopped
    newest = checkpoints_in(run / "checkpoints")[0]
    (newest / DIGESTS).unlink()
    torch.save({"state": {}, "param_groups": []}, newest / "optimizer.pt")
    with pytest.raises(RunError, match="does not fit the run"):
        train(recipe, run, resume=True, console=QUIET)


def test_a_full_disk_at_a_checkpoint_is_one_message_and_the_run_goes_on_after_it(whole, tmp_path, monkeypatch):
    recipe, folder = whole
    publish, calls = trainer_module.publish, []

    def full(fresh, folder):
        calls.append(fresh)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return publish(fresh, folder)

    monkeypatch.setattr(trainer_module, "publish", full)
    with pytest.raises(RunError, match=r"checkpoint of step 8 could not be written \(No space left.*--resume"):
        train(recipe, tmp_path / "run", console=QUIET)
    train(recipe, tmp_path / "run", resume=True, console=QUIET)
    _same(folder / "whole", tmp_path / "run")


def test_changed_data_are_refused_unless_they_are_accepted(tmp_path, interrupt_at):
    tables = language_recipe(tmp_path)
    recipe = checked_recipe(tables)
    write_recipe(recipe, tmp_path / "recipe.toml")
    interrupt_at(5)
    with pytest.raises(InterruptedRunError):
        train(recipe, tmp_path / "run", console=QUIET)
    interrupt_at(-1)
    text = (tmp_path / "text.txt").read_bytes()
    other = write_text(tmp_path / "other.txt", 6000, seed=1).read_bytes()
    refusal = r"changed since this run began: data\.train = .*text\.txt;.*--accept-changed"
    for changed in (text[:-1], text + b"a", b"".join(reversed(text.splitlines(keepends=True))), other):
        (tmp_path / "text.txt").write_bytes(changed)
        with pytest.raises(RunError, match=refusal):
            train(recipe, tmp_path / "run", resume=True, console=QUIET)
    command = ["train", str(tmp_path / "recipe.toml"), "-o", str(tmp_path / "run"), "--accept-changed-data"]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2
    assert "--resume" in refused.output
    told = io.StringIO()
    train(recipe, tmp_path / "run", resume=True, accept_changed_data=True, console=Console(file=told, width=1000))
    assert "going on, as accepted, with changed data.train" in told.getvalue()
    with pytest.raises(RunError, match="give resume"):
        train(recipe, tmp_path / "other", accept_changed_data=True, console=QUIET)


def test_a_changed_tokenizer_is_refused(tmp_path, interrupt_at, labeller):
    tables = language_recipe(tmp_path)
    shutil.copytree(labeller, tmp_path / "tokenizer")
    tables["tokenizer"]["kind"] = str(tmp_path / "tokenizer")
    recipe = checked_recipe(tables)
    interrupt_at(5)
    with pytest.raises(InterruptedRunError):
        train(recipe, tmp_path / "run", console=QUIET)
    file = tmp_path / "tokenizer/tokenizer.json"
    tokenizer = json.loads(file.read_bytes())
    vocabulary = tokenizer["model"]["vocab"]
    first, second = list(vocabulary)[-2:]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    file.write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(RunError, match=r"changed since .*tokenizer\.kind = .*the tokenizer's vocabulary"):
        train(recipe, tmp_path / "run", resume=True, console=QUIET)


def test_a_run_without_recorded_digests_goes_on_and_says_so(stopped):
    recipe, run, whole = stopped
    shutil.rmtree(run / "start")
    told = io.StringIO()
    train(recipe, run, resume=True, console=Console(file=told, width=1000))
    assert "data and tokenizer cannot be compared" in told.getvalue()
    _same(whole, run)


def test_a_run_that_ended_before_its_first_checkpoint_begins_again(whole, tmp_path):
    recipe, folder = whole
    run = tmp_path / "run"
    run.mkdir()
    write_recipe(recipe, run / "recipe.toml")
    (run / "notes.txt").write_text("mine", encoding="utf-8")
    told = io.StringIO()
    train(recipe, run, resume=True, console=Console(file=told, width=1000))
    assert "goes on from the beginning" in told.getvalue()
    assert (run / "notes.txt").read_text(encoding="utf-8") == "mine"
    _same(folder / "whole", run)


@pytest.mark.parametrize(
    "training",
    # In the middle of an epoch; by the clock of steps and by patience.
    [{"max_steps": 5, "num_evaluations": 2}, {"max_steps": 20, "num_evaluations": 10, "early_stopping_patience": 1}],
)
def test_a_run_that_ended_before_it_was_saved_takes_no_step_more(tmp_path, monkeypatch, training):
    recipe = checked_recipe(ner_recipe(tmp_path, batch_tokens=64, learning_rate=0.5, **training))
    whole = train(recipe, tmp_path / "whole", console=QUIET)
    if "early_stopping_patience" in training:
        assert whole["training"]["steps"] < 20
    save = train_module._save
    monkeypatch.setattr(train_module, "_save", lambda *_: (_ for _ in ()).throw(RunError("a full disk")))
    with pytest.raises(RunError, match="a full disk"):
        train(recipe, tmp_path / "run", console=QUIET)
    monkeypatch.setattr(train_module, "_save", save)
    again = train(recipe, tmp_path / "run", resume=True, console=QUIET)
    for metrics in (whole, again):
        for measured in ("minutes", "whole_minutes", "tokens_per_second"):
            del metrics["training"][measured]
        del metrics["baseline"]["seconds"]
    assert again == whole
    # As text: in the same order, too.
    assert json.dumps(again["validation"]) == json.dumps(whole["validation"])
    _same(tmp_path / "whole", tmp_path / "run")


def test_a_run_that_was_ended_while_it_cleaned_up_is_finished_by_the_next_start(stopped):
    recipe, run, whole = stopped
    train(recipe, run, resume=True, console=QUIET)
    (run / "checkpoints/.unfinished").mkdir(parents=True)
    (run / "start").mkdir()
    (run / "start/inputs.json").touch()
    assert train(recipe, run, resume=True, console=QUIET)["validation"]["f1"] > 0
    _same(whole, run)
    _only_what_a_run_leaves(run)
    with pytest.raises(RunError, match="this run is finished; there is nothing to resume"):
        train(recipe, run, resume=True, console=QUIET)
