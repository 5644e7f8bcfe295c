"""Spool of a server: the folder in which the bodies of its requests lie while they are read."""

import os
import shutil
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl

PREFIX = "reformer-serve-"


class Spool:
    """Folder among the temporary files that this user alone may read, locked while its server lives.

    It is removed at the end. A server that is killed leaves it, and the next one to start removes it: a lock ends with
    its process, also in a container whose processes are counted anew. Programs that tidy old temporary files up, such
    as systemd-tmpfiles, leave a locked folder alone. Windows has no such locks; there it stays after a kill.
    """

    def __init__(self) -> None:
        self._place = Path(tempfile.gettempdir())
        remove_abandoned(self._place)
        self._folder, self._lock = _locked_folder(self._place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def new_folder(self) -> Path:
        """An empty folder for one body.

        Raises:
            OSError: the disk is full, or the temporary files cannot be written.
        """
        try:
            return Path(tempfile.mkdtemp(dir=self._folder))
        except FileNotFoundError:
            # Somebody has tidied the temporary files up.
            self.close()
            self._folder, self._lock = _locked_folder(self._place)
            return Path(tempfile.mkdtemp(dir=self._folder))

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def remove_abandoned(place: Path) -> None:
    """Remove the spools in a folder whose servers have ended.

    Whose lock is held lives. A link, and what belongs to another user or may be written by one, is not touched.
    """
    if fcntl is None:
        return
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if not entry.name.startswith(PREFIX):
                continue
            with suppress(OSError):
                lock = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    found = os.fstat(lock)
                    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
                        continue
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(entry.path, ignore_errors=True)
                finally:
                    os.close(lock)


def _locked_folder(place: Path) -> tuple[Path, int | None]:
    """A new folder, and the open lock on it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        if fcntl is None:
            return folder, None
        with suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Another server that starts may have found it before it was locked, and have removed it.
                if os.path.samestat(os.fstat(lock), os.stat(folder, follow_symlinks=False)):
                    return folder, lock
            except BlockingIOError:
                pass
            os.close(lock)
