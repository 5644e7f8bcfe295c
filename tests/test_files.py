"""A file is replaced whole or not at all."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from reformer import files
from reformer.errors import ReformerError
from reformer.files import (
    UNFINISHED,
    make_folders,
    refuse_overwriting_inputs,
    remove_files,
    remove_leftovers,
    replaced,
    resumable,
    write,
)
from reformer.processes import identity, is_dead


def _mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_new_file_takes_the_place_of_the_old_one_at_the_end(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replaced(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_an_error_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write():
        with replaced(path) as file:
            file.write(b"ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_permissions_are_the_old_file_s_or_those_of_any_new_file(tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"")
    path = tmp_path / "file"
    with replaced(path):
        pass
    assert _mode(path) == _mode(other)
    path.chmod(0o640)
    with replaced(path):
        pass
    assert _mode(path) == 0o640


def test_two_writers_do_not_meet(tmp_path):
    path = tmp_path / "file"
    with replaced(path) as first, replaced(path) as second:
        first.write(b"first")
        second.write(b"second")
        assert len([name for name in os.listdir(tmp_path) if name.startswith(UNFINISHED)]) == 2
    # The second block ends first.
    assert path.read_bytes() == b"first"


def test_what_is_written_is_on_the_disk_before_it_replaces(tmp_path, monkeypatch):
    calls = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (calls.append("fsync"), sync(descriptor)))
    monkeypatch.setattr(os, "replace", lambda *paths: (calls.append("replace"), replace(*paths)))
    with replaced(tmp_path / "file") as file:
        file.write(b"new")
    assert calls == ["fsync", "replace", "fsync"]


def test_a_file_that_appears_in_the_meantime_is_kept(tmp_path):
    path, partial = tmp_path / "file", []

    def write_late():
        with replaced(path, overwrite=False, on_partial=partial.append) as file:
            file.write(b"mine")
            path.write_bytes(b"another's")

    with pytest.raises(ReformerError, match="exists already"):
        write_late()
    assert path.read_bytes() == b"another's"
    assert [place.read_bytes() for place in partial] == [b"mine"]
    with pytest.raises(ReformerError, match="exists already"), replaced(path, overwrite=False):
        pass


def test_what_was_written_before_an_error_can_be_kept_and_replaces_nothing(tmp_path):
    (tmp_path / "file.partial").write_bytes(b"former")
    kept = []

    def fail():
        with replaced(tmp_path / "file", on_partial=kept.append) as file:
            file.write(b"begin")
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        fail()
    assert kept == [tmp_path / "file.partial-2"]
    assert kept[0].read_bytes() == b"begin"
    assert (tmp_path / "file.partial").read_bytes() == b"former"
    assert sorted(os.listdir(tmp_path)) == ["file.partial", "file.partial-2"]


def test_a_link_stays_one_and_a_pipe_is_not_replaced(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("file")
    write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write(tmp_path / "pipe", b"answers")
    assert os.read(reader, 10) == b"answers"
    os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_leftovers_of_ended_processes_are_removed_and_no_others(tmp_path):
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom reformer.files import replaced, unfinished_folder\n"
        "folder = Path(sys.argv[1])\n"
        "with replaced(folder / 'file') as file, unfinished_folder(folder / 'run') as fresh:\n"
        "    file.write(b'half'); (fresh / 'weights').touch(); os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, tmp_path], check=False)
    assert killed.returncode == -9
    left = {name for name in os.listdir(tmp_path) if name.startswith(UNFINISHED)}
    assert len(left) == 2
    of_file = next(name for name in left if (tmp_path / name).is_file())
    key, host, *rest = of_file.removeprefix(UNFINISHED).split("-")
    elsewhere = tmp_path / f"{UNFINISHED}{'-'.join([key, '0' * len(host), *rest])}"
    mine = tmp_path / f"{UNFINISHED}notes"
    for path in (elsewhere, mine):
        path.write_bytes(b"")
    with replaced(tmp_path / "file") as file:
        file.flush()
        # That of another target stays, and so does that of the live process: this one.
        assert len(set(os.listdir(tmp_path)) - left) == 3
        assert not (tmp_path / of_file).exists()
        with replaced(tmp_path / "file"):
            pass
        assert Path(file.name).exists()
        remove_leftovers(tmp_path)
        assert Path(file.name).exists()
    assert set(os.listdir(tmp_path)) == {"file", elsewhere.name, mine.name}


def test_a_used_number_of_a_process_is_told_by_its_start():
    host, number, start = identity().split("-")
    assert not is_dead(identity())
    assert is_dead(f"{host}-{number}-{start}1") == (start != "0")
    assert not is_dead("nonsense")


def test_an_input_is_refused_by_any_name(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "input").write_bytes(b"dear")
    (tmp_path / "soft").symlink_to("input")
    os.link(tmp_path / "input", tmp_path / "hard")
    monkeypatch.chdir(tmp_path)
    for name in ("input", "soft", "hard", "folder/../input", str(tmp_path / "input")):
        with pytest.raises(ReformerError, match=r"is the same file as .*input.*another name"):
            refuse_overwriting_inputs(Path(name), ["other", tmp_path / "input"])
    # Neither exists.
    with pytest.raises(ReformerError, match="is the same file as missing"):
        refuse_overwriting_inputs(tmp_path / "missing", ["missing"])
    refuse_overwriting_inputs(tmp_path / "folder/input", ["input", None])
    refuse_overwriting_inputs(None, ["input"])


def test_only_listed_files_inside_are_removed(tmp_path):
    run, outside = tmp_path / "run", tmp_path / "outside"
    for folder in (run / "logs", run / "start", outside):
        folder.mkdir(parents=True)
    for file in (run / "a", run / "mine", run / "logs/events", run / "logs/mine", run / "start/b", outside / "dear"):
        file.touch()
    (run / "link").symlink_to(outside)
    remove_files(run, ("a", "logs/events*", "start/*", "link/*", "../outside/*", str(outside / "dear"), "", "none"))
    assert {str(path.relative_to(run)) for path in run.rglob("*")} == {"mine", "logs", "logs/mine", "link"}
    assert (outside / "dear").exists()


def test_a_resumable_file_goes_on_after_the_given_length(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"former")

    def begin():
        with resumable(path, None) as file:
            file.write(b"one two")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin()
    assert path.read_bytes() == b"former"
    with pytest.raises(ValueError, match="7"), resumable(path, 8):
        pass
    with resumable(path, 4) as file:
        file.write(b"three")
    assert path.read_bytes() == b"one three"
    assert os.listdir(tmp_path) == ["file"]
    with resumable(path, 9):
        pass
    assert path.read_bytes() == b"one three"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_an_error_of_writing_names_the_file(tmp_path):
    (tmp_path / "out").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        write(tmp_path / "out", b"answers")
    assert caught.value.filename == str(tmp_path / "out")


def test_an_error_of_opening_names_the_file_and_not_the_unfinished_one(tmp_path):
    path = tmp_path / "missing/out"
    with pytest.raises(FileNotFoundError) as caught:
        write(path, b"answers")
    assert caught.value.filename == str(path)


def test_the_folders_around_a_new_one_are_synced(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(files, "sync", synced.append)
    make_folders(tmp_path / "a/b")
    make_folders(tmp_path / "a/b")
    assert synced == [tmp_path, tmp_path / "a"]


def test_folders_that_are_empty_already_are_removed_too(tmp_path):
    (tmp_path / "checkpoints/.unfinished/checkpoint-4").mkdir(parents=True)
    (tmp_path / "logs").mkdir()
    remove_files(tmp_path, ["checkpoints/.unfinished/*/*"])
    assert os.listdir(tmp_path) == ["logs"]
