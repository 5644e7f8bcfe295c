"""Layer below the process (`disk.c`) that records, kills or fails at the n-th change of a folder."""

import ctypes
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from struct import Struct

SOURCE = Path(__file__).with_name("disk.c")
WHY_NOT = (
    "the layer below the process needs Linux"
    if sys.platform != "linux"
    else "the layer below the process needs a C compiler"
    if shutil.which(os.environ.get("CC", "cc")) is None
    else None
)


class Kind(IntEnum):
    """Kind of a change, as in `disk.c`."""

    OPEN = 0
    WRITE = 1
    SYNC = 2
    RENAME = 3
    UNLINK = 4
    MKDIR = 5
    RMDIR = 6
    LINK = 7
    TRUNCATE = 8
    READ = 9
    MARK = 10


class Action(IntEnum):
    """What the layer does at the n-th change: nothing; record all; kill; fail once; fail and be full from there on;
    fail once at the n-th opening or reading of a file."""

    NOTHING = 0
    RECORD = 1
    KILL = 2
    FAIL = 3
    FULL = 4
    FAIL_READ = 5


@dataclass(frozen=True, slots=True)
class Change:
    """Change of the folder: `path` became `other` (a rename, a link), or `data` was written at `place` of `file`.

    Of an `OPEN`, bit 0 of `place` says that the file was emptied, and bit 1 that it is new; of a `TRUNCATE`, it is the
    length.
    """

    kind: Kind
    file: int
    place: int
    path: str
    other: str
    data: bytes


_HEAD = Struct("=6q")


def build(folder: Path) -> Path:
    """Compile the layer into a folder."""
    library = folder / "disk.so"
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-pthread", str(SOURCE), "-o", str(library)], check=True)
    return library


def loaded() -> bool:
    """Whether this process runs above the layer."""
    return hasattr(ctypes.CDLL(None), "disk_arm")


def arm(folder: Path, action: Action, number: int = 0, code: int = 0, records: int = -1) -> None:
    """From here on do this at the change of that number, the first being 1, below the folder.

    Args:
        code: the errno of a failure.
        records: the descriptor of the file that `RECORD` writes to.
    """
    path = os.fsencode(os.path.realpath(folder))
    if not ctypes.CDLL(None).disk_arm(path, int(action), ctypes.c_long(number), code, records):
        raise OSError("this system lets no process watch its own system calls")


def count() -> int:
    """How many changes there have been since `arm`."""
    counter = ctypes.CDLL(None).disk_count
    counter.restype = ctypes.c_long
    return counter()


def mark(text: str) -> None:
    """Put a text among the records."""
    ctypes.CDLL(None).disk_mark(text.encode())


def read_changes(file: Path) -> list[Change]:
    """What was recorded."""
    content, place, changes = file.read_bytes(), 0, []
    while place < len(content):
        kind, descriptor, where, *sizes = _HEAD.unpack_from(content, place)
        place += _HEAD.size
        parts = []
        for size in sizes:
            parts.append(content[place : place + size])
            place += size
        path, other, data = parts
        changes.append(Change(Kind(kind), descriptor, where, os.fsdecode(path), os.fsdecode(other), data))
    return changes
