"""Files that are replaced whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

UNFINISHED = ".unfinished-"
"""The beginning of the name of a file that is not whole yet."""


@contextmanager
def replaced(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of the one at `path` when the block ends, in one step.

    Whoever reads `path` finds the old file or the new one, whole, also after a power failure. An error in the block
    leaves the old one. The new file has the old one's permissions, or those of any new file.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with replaced(folder / "scores.json") as file:
        ...     _ = file.write(b"{}")
        >>> (folder / "scores.json").read_bytes()
        b'{}'
    """
    # A name of its own for each: two processes may write the same file at the same time.
    fresh = path.with_name(f"{UNFINISHED}{uuid4().hex}")
    try:
        with fresh.open("xb") as file:
            yield file
        replace_file(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def replace_file(fresh: Path, path: Path) -> None:
    """Put a whole file in the place of the one at `path`, with its permissions; both are in one file system."""
    if path.exists():
        shutil.copymode(path, fresh)
    # Without this a power failure may leave an empty file in the place of the old one.
    _sync(fresh, os.O_RDWR)
    os.replace(fresh, path)
    # Windows cannot open a folder, and writes its entries by itself.
    if os.name != "nt":
        _sync(path.parent, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
