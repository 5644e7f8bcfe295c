"""Files that are replaced whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

UNFINISHED = ".unfinished-"
"""How the name of a file begins that is not whole yet."""


@contextmanager
def replaced(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of the one at `path` when the block ends, in one step.

    Whoever reads `path` finds the old file or the new one, whole, also after a power failure. An error in the block
    leaves the old one. The new file has the old one's permissions, or those of any new file.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> with replaced(folder / "scores.json") as file:
        ...     _ = file.write(b"{}")
        >>> (folder / "scores.json").read_bytes()
        b'{}'
    """
    # A name of its own for each: two processes may write the same file at the same time.
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=UNFINISHED, delete=False) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            file.close()
            # A temporary file is readable by its owner alone.
            if path.exists():
                shutil.copymode(path, file.name)
            else:
                os.chmod(file.name, 0o666 & ~_umask())
            os.replace(file.name, path)
        finally:
            Path(file.name).unlink(missing_ok=True)
    _sync_folder(path.parent)


def _umask() -> int:
    # The mask can only be read by setting it.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Bring the folder's entries to the disk, without which a power failure may bring the old file back."""
    # Windows cannot open a folder, and writes its entries by itself.
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
