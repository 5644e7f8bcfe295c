"""What arguments stand for: files, folders, patterns."""

import os

import pytest

from reformer.data import DataError
from reformer.data.inputs import find_inputs


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with files of several kinds, some of which are not read."""
    files = (
        "b.csv",
        "a/2.jsonl",
        "a/10.jsonl",
        "a/notes.md",
        ".hidden.csv",
        ".git/x.csv",
        "a/deep/c.jsonl",
        "x[1].csv",
    )
    for name in files:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text("a", encoding="utf-8")
    for name in ("brat/1.ann", "brat/1.txt", "texts/pos/1.txt", "texts/neg/2.txt", "mixed/1.txt", "mixed/2.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _found(*given, **options):
    return find_inputs(given, lambda name: name.endswith((".csv", ".jsonl", ".txt", ".ann")), **options)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("in", ["in/b.csv", "in/x[1].csv", "in/a/2.jsonl", "in/a/10.jsonl", "in/a/deep/c.jsonl"]),
        ("in/a/", ["in/a/2.jsonl", "in/a/10.jsonl", "in/a/deep/c.jsonl"]),
        ("in/*.csv", ["in/b.csv", "in/x[1].csv"]),
        ("in/**/*.jsonl", ["in/a/2.jsonl", "in/a/10.jsonl", "in/a/deep/c.jsonl"]),
        ("in/x[1].csv", ["in/x[1].csv"]),
        ("in/[ab]*", ["in/a/2.jsonl", "in/a/10.jsonl", "in/a/deep/c.jsonl", "in/b.csv"]),
        ("-", ["-"]),
        ("missing.csv", ["missing.csv"]),
        ("index:digits", ["index:digits"]),
        ("brat", ["brat"]),
        ("texts", ["texts"]),
        ("mixed", ["mixed/1.txt", "mixed/2.csv"]),
    ],
)
@pytest.mark.usefixtures("place")
def test_an_argument_stands_for_its_files(argument, expected):
    assert _found(argument) == expected


@pytest.mark.usefixtures("place")
def test_folders_are_whole_only_for_readers_of_them():
    assert _found("brat", whole_folders=False) == ["brat/1.ann", "brat/1.txt"]
    assert _found("texts", "brat") == ["texts", "brat"]


def test_a_folder_of_brat_below_is_whole(place):
    os.rename(place / "brat", place / "in/brat")
    assert "in/brat" in _found("in")
    assert not [name for name in _found("in") if name.endswith(".ann")]


@pytest.mark.parametrize("argument", ["in/*.xyz", "nothing/**", "empty"])
def test_what_stands_for_nothing_is_an_error(place, argument):
    (place / "empty").mkdir()
    with pytest.raises(DataError, match=r"nothing that it matches|no file to read"):
        _found(argument)


def test_a_link_to_a_folder_above_ends(place):
    (place / "in/loop").symlink_to(place / "in")
    assert len(_found("in")) == 5
