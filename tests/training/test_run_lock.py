"""A run folder has one run at a time; the lock of a process that is gone is taken over."""

import json
import os
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from rich.console import Console

from reformer.processes import identity
from reformer.runs.folder import RunError
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.run_lock import locked
from reformer.training.train import train
from tests.processes import forked
from tests.tiny import ner_recipe

QUIET = Console(quiet=True)


OF_BEFORE = f"{identity().rpartition('-')[0]}-0badb007-0123abcd"
"""A holder that had the number of this process, and has started in another boot."""


def _hold(folder, name=OF_BEFORE, content="{}"):
    lock = folder.with_name(f".{folder.name}.lock")
    lock.mkdir(parents=True)
    (lock / f"holder-{name}.json").write_text(content, encoding="utf-8")
    return lock


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_in_which_a_process_trains_is_refused(tmp_path, resume):
    recipe = checked_recipe(ner_recipe(tmp_path))
    if resume:
        (tmp_path / "run").mkdir()
        (tmp_path / "run/recipe.toml").touch()
    with (
        locked(tmp_path / "run"),
        pytest.raises(RunError, match=f"process {os.getpid()} on {socket.gethostname()} is training in this folder"),
    ):
        train(recipe, tmp_path / "run", resume=resume, console=QUIET)
    assert not list(tmp_path.glob(".*"))


def test_a_folder_by_another_spelling_is_the_same_folder(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    with locked(tmp_path / "run"):
        for spelling in (tmp_path / "link", tmp_path / "run/../run", type(tmp_path)(".")):
            with pytest.raises(RunError, match="is training in this folder"), locked(spelling):
                pass


def test_the_lock_is_given_back_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "run"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_the_lock_of_a_killed_process_is_taken_over(tmp_path):
    def hold():
        with locked(tmp_path / "run"):
            os.kill(os.getpid(), signal.SIGKILL)

    assert forked(hold) == -signal.SIGKILL
    assert (tmp_path / ".run.lock").exists()
    with locked(tmp_path / "run"):
        (file,) = (tmp_path / ".run.lock").iterdir()
        assert json.loads(file.read_bytes())["process"] == os.getpid()
    assert not list(tmp_path.iterdir())


# As a power failure may leave its file, too.
@pytest.mark.parametrize("content", ["", "{", '{"process": 1, "host": "elsewhere"}'])
def test_a_process_of_the_same_number_that_started_before_holds_nothing(tmp_path, content):
    _hold(tmp_path / "run", content=content)
    with locked(tmp_path / "run"):
        pass
    assert not list(tmp_path.iterdir())


def test_what_was_left_in_taking_a_lock_is_removed(tmp_path):
    (tmp_path / f".run.lock-{OF_BEFORE}").mkdir()
    half = tmp_path / f".run.lock-{OF_BEFORE[:-1]}e"
    half.mkdir()
    (half / f"holder-{OF_BEFORE[:-1]}e.json").touch()
    (tmp_path / ".run.lock-notes").mkdir()
    with locked(tmp_path / "run"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".run.lock-notes"]


def test_of_another_host_nothing_is_known(tmp_path):
    lock = _hold(tmp_path / "run", "0123456789ab-1-2-3", json.dumps({"process": 1, "host": "elsewhere"}))
    remedy = r"if that process has ended, which cannot be seen from here, or its machine is gone, delete .*holder-"
    with pytest.raises(RunError, match=rf"process 1 on elsewhere is training in this folder; .* {remedy}"):
        locked(tmp_path / "run").__enter__()
    assert lock.exists()


@pytest.mark.parametrize("content", ["", "[1]", "{"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("0123456789ab-17-2-3", "process 17 is training in this folder; .* if that process has ended, .*, delete"),
        ("1", "does not say by whom; if no run is at work in it, delete"),
    ],
)
def test_a_lock_of_which_the_file_says_nothing_is_not_taken_over(tmp_path, content, name, message):
    _hold(tmp_path / "run", name, content)
    with pytest.raises(RunError, match=message):
        locked(tmp_path / "run").__enter__()


def test_a_lock_with_files_of_others_is_not_taken_over(tmp_path):
    lock = _hold(tmp_path / "run")
    (lock / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(RunError, match=r"does not say by whom; if no run is at work in it, delete"):
        locked(tmp_path / "run").__enter__()
    assert (lock / "notes.txt").exists()


def test_a_lock_that_cannot_be_written_is_one_message(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="the run folder's lock cannot be written"):
        locked(tmp_path / "file" / "run").__enter__()


def test_of_many_that_take_a_dead_lock_one_holds_it_at_a_time(tmp_path):
    _hold(tmp_path / "run")
    inside, most = [], []

    def take(number):
        try:
            with locked(tmp_path / "run"):
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)
        except RunError:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(40))) > 0
    assert max(most) == 1
    assert not list(tmp_path.iterdir())
