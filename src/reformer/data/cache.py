"""Cache folder, and files that appear in it whole or not at all, and are checked by digest before they are used."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import platformdirs

from reformer.data.errors import DataError
from reformer.files import make_folders, replaced, write


@contextmanager
def new_cache_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that appears at `path`, in the cache folder, whole or not at all, with its digest beside it.

    Raises:
        DataError: the disk refuses it.
    """
    try:
        make_folders(path.parent)
        with replaced(path) as file:
            yield file
        keep_digest(path)
    except OSError as error:
        raise DataError(
            path,
            None,
            f"this cannot be written ({error.strerror or error})",
            "make room or give the folder's owner the right to write, or set REFORMER_CACHE to another folder",
        ) from error


def keep_digest(path: Path) -> None:
    """Write the digest of a file that is whole beside it, for `is_kept`."""
    write(_digest_file(path), _digest(path).encode())


def is_kept(path: Path) -> bool:
    """Whether a file of the cache is there as it was written: what it was made from makes it again otherwise."""
    try:
        return _digest_file(path).read_text(encoding="utf-8") == _digest(path)
    except (OSError, UnicodeDecodeError):
        return False


def _digest_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_key(path: Path) -> str:
    """A name for a file as it is now; it changes with its place, its size and its time of change."""
    status = path.stat()
    return hashlib.sha256(f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}".encode()).hexdigest()[:24]


def cache_folder() -> Path:
    """Where data sets are kept: `$REFORMER_CACHE`, or the user's cache folder."""
    chosen = os.environ.get("REFORMER_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("reformer"))
