"""A file is replaced whole or not at all."""

import os
import stat

import pytest

from reformer.files import UNFINISHED, replaced


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
