"""Cache folder, and files that appear in it whole or not at all."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import platformdirs

from reformer.data.errors import DataError


@contextmanager
def new_cache_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that appears at `path`, in the cache folder, whole or not at all.

    Raises:
        DataError: the disk refuses it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own for each: two processes may write the same file at the same time.
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix="unfinished-", delete=False) as part:
            try:
                yield part
                part.close()
                os.replace(part.name, path)
            finally:
                Path(part.name).unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            path,
            None,
            f"this cannot be written ({error.strerror or error})",
            "make room or give the folder's owner the right to write, or set REFORMER_CACHE to another folder",
        ) from error


def file_key(path: Path) -> str:
    """A name for a file as it is now; it changes with its place, its size and its time of change."""
    status = path.stat()
    return hashlib.sha256(f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}".encode()).hexdigest()[:24]


def cache_folder() -> Path:
    """Where data sets are kept: `$REFORMER_CACHE`, or the user's cache folder."""
    chosen = os.environ.get("REFORMER_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("reformer"))
