"""Lock on a run folder while a run is trained in it."""

import errno
import glob
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from reformer.runs.folder import RunError

_HOLDERS = "holder-*.json"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock of a run folder, as a context: no other process trains in it until the block ends.

    The lock is a folder beside the run's, which names the process, its host and its start. It appears by a rename,
    whole or not at all, and the name of the file in it is its holder's alone: what is removed is never another's. So it
    needs no locks of the file system. The lock of a process of this host that has ended, even by a kill, is taken over.

    Raises:
        RunError: another run holds the lock, or the disk refuses it.
    """
    folder = folder.resolve()
    lock = folder.with_name(f".{folder.name}.lock")
    mine = {"process": os.getpid(), "host": socket.gethostname(), "started": _started(os.getpid()), "id": uuid4().hex}
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(lock)
        _take(lock, mine, folder)
    except OSError as error:
        raise RunError(
            f"{lock}: the run folder's lock cannot be written ({error.strerror or error}); make room, or take an "
            "--output in a folder that you may write to"
        ) from error
    try:
        yield
    finally:
        _release(lock, mine["id"])


def _take(lock: Path, mine: dict[str, Any], folder: Path) -> None:
    fresh = lock.with_name(f"{lock.name}-{mine['id']}")
    fresh.mkdir()
    try:
        _file(fresh, mine["id"]).write_text(json.dumps(mine), encoding="utf-8")
        while not _renamed(fresh, lock):
            # A file of another name says nothing, as one that cannot be understood.
            for file in lock.glob("*"):
                holder = _read(file) if file.match(_HOLDERS) else {}
                if holder is not None and not _has_ended(holder):
                    raise RunError(_in_use(folder, file, holder))
            _release_ended(lock)
    finally:
        _release(fresh, mine["id"])


def _renamed(fresh: Path, lock: Path) -> bool:
    """Whether the folder has become the lock: a rename replaces no folder that has a holder's file in it."""
    try:
        os.rename(fresh, lock)
    except OSError as error:
        # Windows has another error for this; there the lock may be given back before it is looked for.
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST) or lock.exists():
            return False
        raise
    return True


def _release(lock: Path, holder: str) -> None:
    """Give back what this holder holds: its own file, whose name no other has, and the folder if it is empty then."""
    _file(lock, holder).unlink(missing_ok=True)
    # Not empty: it is another's.
    with suppress(OSError):
        lock.rmdir()


def _release_ended(lock: Path) -> None:
    """Give back what a process held that has ended."""
    for file in lock.glob(_HOLDERS):
        holder = _read(file)
        if holder and _has_ended(holder):
            _release(lock, file.stem.removeprefix("holder-"))


def _remove_leftovers(lock: Path) -> None:
    """Remove what processes that were killed while they took this lock have left."""
    for leftover in lock.parent.glob(f"{glob.escape(lock.name)}-*"):
        _release_ended(leftover)


def _file(lock: Path, holder: str) -> Path:
    return lock / f"holder-{holder}.json"


def _read(file: Path) -> dict[str, Any] | None:
    """What a holder's file says; None if it is gone, an empty mapping if it cannot be understood."""
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return held if isinstance(held, dict) else {}


def _has_ended(holder: dict[str, Any]) -> bool:
    process = holder.get("process")
    if holder.get("host") != socket.gethostname() or not isinstance(process, int):
        return False
    # A process of the same number that has started at another time is another process.
    return _started(process) != holder.get("started")


def _started(process: int) -> str | None:
    """When a process of this host has started, by a clock that is never set; None if it has ended."""
    stat = Path(f"/proc/{process}/stat")
    boot = Path("/proc/sys/kernel/random/boot_id")
    try:
        if boot.exists():
            # The name of the program, in brackets, may have spaces in it. A zombie has ended.
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            return None if fields[0] in ("Z", "X") else f"{boot.read_text(encoding='ascii').strip()} {fields[19]}"
        return f"{psutil.Process(process).create_time():.0f}"
    except (FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
        return None


def _in_use(folder: Path, file: Path, holder: dict[str, Any]) -> str:
    if not holder:
        unknown = f"this folder is locked, and {file} does not say by whom"
        return f"{folder}: {unknown}; if no run is at work in it, delete {file}"
    here = holder.get("host") == socket.gethostname()
    remedy = "wait for it or stop it, or take another --output"
    return f"{folder}: process {holder.get('process')} on {holder.get('host')} is training in this folder; {remedy}" + (
        "" if here else f"; if that process has ended, delete {file}"
    )
