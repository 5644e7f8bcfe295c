"""Lock on a run folder while a run is trained in it."""

import errno
import glob
import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from pydantic_core import from_json

from reformer.files import make_folders, sync
from reformer.processes import identity, is_dead
from reformer.runs.folder import RunError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock of a run folder, as a context: no other process trains in it until the block ends.

    The lock is a folder beside the run's. It appears by a rename, whole or not at all. The file in it, whose name says
    which process holds it and is that holder's alone, is all that is removed: never another's. So it needs no locks of
    the file system, and says who holds it also where a power failure has emptied the file. The lock of a process of
    this host that has ended, even by a kill, is taken over.

    Raises:
        RunError: another run holds the lock, or the disk refuses it.
    """
    folder = folder.resolve()
    lock = folder.with_name(f".{folder.name}.lock")
    mine = f"{identity()}-{uuid4().hex}"
    try:
        make_folders(lock.parent)
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
        _release(lock, mine)


def _take(lock: Path, mine: str, folder: Path) -> None:
    fresh = lock.with_name(f"{lock.name}-{mine}")
    fresh.mkdir()
    try:
        holder = {"process": os.getpid(), "host": socket.gethostname()}
        _file(fresh, mine).write_text(json.dumps(holder), encoding="utf-8")
        while not _renamed(fresh, lock):
            _release_ended(lock)
            for file in lock.glob("*"):
                # Unless it has been given back in the meantime.
                if os.path.lexists(file):
                    raise RunError(_in_use(folder, file))
    finally:
        _release(fresh, mine)


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
    with suppress(OSError):
        _file(lock, holder).unlink(missing_ok=True)
        # Not empty: it is another's.
        lock.rmdir()
        sync(lock.parent)


def _release_ended(lock: Path) -> None:
    """Give back what a process held that has ended."""
    for file in lock.glob("holder-*.json"):
        holder = file.stem.removeprefix("holder-")
        if _has_ended(holder):
            _release(lock, holder)


def _remove_leftovers(lock: Path) -> None:
    """Remove what processes that were killed while they took this lock have left."""
    for leftover in lock.parent.glob(f"{glob.escape(lock.name)}-*"):
        holder = leftover.name.removeprefix(f"{lock.name}-")
        if _has_ended(holder):
            _release(leftover, holder)


def _has_ended(holder: str) -> bool:
    return is_dead(holder.rpartition("-")[0])


def _file(lock: Path, holder: str) -> Path:
    return lock / f"holder-{holder}.json"


def _in_use(folder: Path, file: Path) -> str:
    """The message of a lock that this file is in."""
    try:
        held = from_json(file.read_bytes())
        holder = f"process {held['process']} on {held['host']}"
        here = held["host"] == socket.gethostname()
    except (OSError, ValueError, KeyError, TypeError):
        known = re.fullmatch(r"holder-[0-9a-f]+-([0-9]+)-\w+-[0-9a-f]+\.json", file.name)
        if known is None:
            unknown = f"this folder is locked, and {file} does not say by whom"
            return f"{folder}: {unknown}; if no run is at work in it, delete {file}"
        holder, here = f"process {known[1]}", False
    told = f"{folder}: {holder} is training in this folder; wait for it or stop it, or take another --output"
    if not here:
        told += f"; if that process has ended, which cannot be seen from here, or its machine is gone, delete {file}"
    return told
