"""The simulated power failure loses what was not synced, and nothing else."""

import random
from pathlib import Path

import pytest

from tests.faults.disk import Change, Kind
from tests.faults.power_failure import Disk

OPEN, NEW, EMPTIED = Kind.OPEN, 2, 1


def change(kind: Kind, path: str = "", other: str = "", *, file: int = -1, place: int = 0, data: bytes = b"") -> Change:
    return Change(kind, file, place, f"/root/{path}" if path else "", f"/root/{other}" if other else "", data)


WRITE = [change(OPEN, "fresh", file=3, place=NEW), change(Kind.WRITE, file=3, data=b"new!")]
SYNC, RENAME = change(Kind.SYNC, file=3), change(Kind.RENAME, "fresh", "old")
SYNC_FOLDER = [change(OPEN, ".", file=4), change(Kind.SYNC, file=4)]


def after(
    changes, tmp_path: Path, *, names: float | None = 0, data: float | None = 0, seed: int = 0
) -> dict[str, bytes]:
    (tmp_path / "start").mkdir(exist_ok=True)
    (tmp_path / "start/old").write_bytes(b"old")
    disk = Disk(tmp_path / "start", "/root")
    for each in changes:
        disk.apply(each)
    disk.write_after_failure(tmp_path / "end", random.Random(seed), names=names, data=data)
    end = tmp_path / "end"
    return {str(path.relative_to(end)): path.read_bytes() for path in end.rglob("*") if path.is_file()}


def test_a_rename_may_come_before_the_data_that_were_not_synced(tmp_path):
    assert after([*WRITE, RENAME], tmp_path, names=1) == {"old": b""}
    assert after([*WRITE, SYNC, RENAME], tmp_path, names=1) == {"old": b"new!"}
    assert after([*WRITE, SYNC, RENAME], tmp_path, names=0) == {"old": b"old"}


def test_what_was_synced_is_there(tmp_path):
    assert after([*WRITE, SYNC, RENAME, *SYNC_FOLDER], tmp_path) == {"old": b"new!"}
    # A name is not there because its file was synced.
    assert after([*WRITE, SYNC], tmp_path) == {"old": b"old"}


def test_data_are_there_in_part(tmp_path):
    seen = {after([*WRITE, *SYNC_FOLDER], tmp_path, data=None, seed=seed)["fresh"] for seed in range(40)}
    assert {b"", b"new!"} < seen
    assert seen & {b"ne", bytes(4)}


@pytest.fixture
def run(tmp_path):
    """A folder with a file in the folder that fails."""
    (tmp_path / "start/run").mkdir(parents=True)
    (tmp_path / "start/run/dear").write_bytes(b"dear")


@pytest.mark.usefixtures("run")
def test_a_folder_that_was_not_synced_is_lost_with_all_that_was_moved_into_it(tmp_path):
    moved = [
        change(Kind.MKDIR, "aside"),
        change(Kind.RENAME, "run/dear", "aside/dear"),
        change(OPEN, "aside", file=5),
        change(Kind.SYNC, file=5),
    ]
    assert after([], tmp_path) == {"old": b"old", "run/dear": b"dear"}
    assert after(moved, tmp_path) == {"old": b"old"}
    assert after([*moved, *SYNC_FOLDER], tmp_path) == {"old": b"old", "aside/dear": b"dear"}


@pytest.mark.parametrize("names", [0, 1, None])
def test_what_was_not_touched_stays(tmp_path, names):
    assert after(WRITE, tmp_path, names=names, data=None)["old"] == b"old"
