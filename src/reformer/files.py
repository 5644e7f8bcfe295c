"""Writing and removing of files and folders: each appears whole or not at all, and nothing of others is lost."""

import hashlib
import io
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from reformer.errors import ReformerError
from reformer.processes import identity, is_dead

UNFINISHED = ".unfinished-"
"""The beginning of the name of a file or folder that is not whole yet."""


@contextmanager
def replaced(
    path: Path, *, overwrite: bool = True, on_partial: Callable[[Path], object] | None = None
) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of the one at `path` when the block ends, in one step.

    Whoever reads `path` finds the old file or the new one, whole, also after a power failure. An error in the block
    leaves the old one. The new file has the old one's permissions, or those of any new file. Where `path` is a link,
    the file it leads to is replaced; a device or a pipe is written directly.

    Args:
        overwrite: whether a file at `path` may be replaced, also one that appears there in the meantime.
        on_partial: called with the file `NAME.partial` that keeps what was written before an error; None removes it.

    Raises:
        ReformerError: `path` exists, and `overwrite` is False.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with replaced(folder / "scores.json") as file:
        ...     _ = file.write(b"{}")
        >>> (folder / "scores.json").read_bytes()
        b'{}'
    """
    if not overwrite:
        refuse_existing(path)
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        # A file in the place of /dev/null or of a pipe would break those who read and write these.
        with io.BufferedWriter(_NamedFile(path, path, "wb")) as file:
            yield file
        return
    path = Path(os.path.realpath(path))
    remove_leftovers(path.parent, path.name)
    fresh = _unfinished(path)
    try:
        with _called(path):
            with io.BufferedWriter(_NamedFile(fresh, path)) as file:
                yield file
            replace_file(fresh, path, overwrite=overwrite)
    except BaseException:
        if on_partial is not None and fresh.exists() and fresh.stat().st_size > 0:
            partial = _new_name(path.with_name(f"{path.name}.partial"))
            os.replace(fresh, partial)
            on_partial(partial)
        raise
    finally:
        fresh.unlink(missing_ok=True)


class _NamedFile(io.FileIO):
    """New file, whose errors name it as users know it."""

    def __init__(self, place: Path, known_as: Path, mode: str = "xb") -> None:
        self._known_as = known_as
        super().__init__(os.fspath(place), mode)

    def write(self, data: Any, /) -> int | None:
        with _named(self._known_as):
            return super().write(data)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of the system that name no file name `path`."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


@contextmanager
def _called(path: Path) -> Iterator[None]:
    """Errors that name an unfinished file or folder name `path` in its place: users have never heard of the other."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and UNFINISHED in str(error.filename):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


@contextmanager
def resumable(
    path: Path, length: int | None, *, begun: Path | None = None, overwrite: bool = True
) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of the one at `path` when the block ends, and until then can be resumed.

    An error, or the end of the process, leaves what was written beside `path`, to continue after `length` bytes of it;
    what follows them is dropped. With None the file begins.

    Args:
        begun: where it stands until then, in the folder of the file at `path`; None: under a hidden name.
        overwrite: whether a file at `path` may be replaced in the end.

    Raises:
        ValueError: fewer bytes than `length` are there.
    """
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        with _NamedFile(path, path, "wb") as file:
            yield file
        return
    path = Path(os.path.realpath(path))
    begun = path.with_name(f"{UNFINISHED}{path.name}") if begun is None else begun
    # Finished files, and those of versions that wrote in place, are gone on with where they are.
    place = begun if length is None or begun.exists() else path
    if length is not None and (not place.exists() or place.stat().st_size < length):
        raise ValueError(f"{place.stat().st_size if place.exists() else 0:,}")
    with writing_on(place, length, known_as=path) as file:
        yield file
    if place == begun:
        replace_file(begun, path, overwrite=overwrite)
        # Where it may replace nothing, it has a second name at its place.
        begun.unlink(missing_ok=True)


@contextmanager
def writing_on(place: Path, length: int | None, *, known_as: Path | None = None) -> Iterator[IO[bytes]]:
    """A file to write on in, behind its first `length` bytes; what follows them is dropped. With None it begins.

    It is not buffered: a process that is killed loses nothing that it has written.

    Args:
        known_as: the name of the file in errors.
    """
    with _NamedFile(place, known_as or place, "wb" if length is None else "r+b") as file:
        if length is None:
            # A state that is written later may say how long this is: it must not be there without this.
            sync(place.parent)
        if length is not None and place.stat().st_size > length:
            file.truncate(length)
        file.seek(length or 0)
        yield file


def write(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all."""
    with replaced(path) as file:
        file.write(data)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that appears at `path` when the block ends.

    If another process was first, its folder stays. An error in the block leaves nothing.
    """
    with unfinished_folder(path) as fresh:
        whole = fresh / path.name
        whole.mkdir()
        yield whole
        for file in whole.iterdir():
            if file.is_file():
                sync(file)
        sync(whole)
        try:
            os.rename(whole, path)
        except OSError:
            if not path.is_dir():
                raise


@contextmanager
def unfinished_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path` for what is not whole yet; it is gone when the block ends."""
    remove_leftovers(path.parent, path.name)
    fresh = _unfinished(path)
    with _called(path):
        fresh.mkdir()
        try:
            yield fresh
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        sync(path.parent)


def make_folders(path: Path) -> None:
    """Make a folder, unless it is there, and those around it, so that what is synced in it is not lost with it."""
    if path.is_dir():
        return
    make_folders(path.parent)
    path.mkdir(exist_ok=True)
    sync(path.parent)


def replace_file(fresh: Path, path: Path, *, overwrite: bool = True) -> None:
    """Put a whole file in the place of the one at `path`, with its permissions; both are in one file system.

    Raises:
        ReformerError: `path` exists, and `overwrite` is False.
    """
    if path.exists():
        shutil.copymode(path, fresh)
    # Without this a power failure may leave an empty file in the place of the old one.
    sync(fresh)
    if overwrite:
        os.replace(fresh, path)
    else:
        _put_where_nothing_is(fresh, path)
    sync(path.parent)


def move_into(place: Path, folder: Path, names: Iterable[str]) -> None:
    """Move these files and folders of `folder` into `place`; those that are no more there have been moved before."""
    for name in names:
        if os.path.lexists(folder / name):
            os.rename(folder / name, place / name)
    sync(place)
    sync(folder)


def remove_files(folder: Path, patterns: Iterable[str]) -> None:
    """Remove the files in `folder` that these names or patterns stand for, then the folders in it that are empty then.

    Nothing outside of `folder` is removed, whatever the patterns and links in it say.
    """
    inside, changed = folder.resolve(), {folder}
    for pattern in patterns:
        if not pattern or Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            continue
        for part in (Path(pattern), *Path(pattern).parents[:-1]):
            for path in sorted(folder.glob(str(part))):
                if not path.parent.resolve().is_relative_to(inside):
                    continue
                is_folder = path.is_dir() and not path.is_symlink()
                if is_folder and part != Path(pattern):
                    remove_if_empty(path)
                elif not is_folder and part == Path(pattern):
                    path.unlink()
                changed.add(path.parent)
    for parent in changed:
        if parent.is_dir():
            sync(parent)


def remove_file(path: Path) -> None:
    """Remove a file if it is there."""
    path.unlink(missing_ok=True)
    sync(path.parent)


def remove_if_empty(folder: Path) -> None:
    """Remove the folder unless something is in it."""
    with suppress(OSError):
        folder.rmdir()
        sync(folder.parent)


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove what processes that have ended left unfinished in `folder`: for the file `name`, or for any.

    The names say whose each is. What belongs to a live process, or to one of another machine, stays.
    """
    beginning = UNFINISHED if name is None else f"{UNFINISHED}{_key(name)}-"
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(beginning):
                continue
            parts = entry.name.removeprefix(UNFINISHED).split("-")
            # As `_unfinished` makes them; any other name is not ours.
            if len(parts) != 5 or not is_dead("-".join(parts[1:4])):
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)


def refuse_overwriting_inputs(output: Path | None, inputs: Iterable[str | Path | None]) -> None:
    """Raise `ReformerError` if `output` is one of the files that are read, also by a link or another spelling."""
    if output is None:
        return
    for given in inputs:
        if given is not None and _same(output, Path(given)):
            raise ReformerError(
                f"{output}: this is the same file as {given}, which it would overwrite; give the output another name"
            )


def refuse_existing(output: Path | None, *, option: str = "--output") -> None:
    """Raise `ReformerError` if `output` exists."""
    if output is not None and os.path.lexists(output):
        raise ReformerError(f"{output}: this exists already; take another {option}, or --overwrite")


def _same(first: Path, second: Path) -> bool:
    with suppress(OSError):
        if os.path.samefile(first, second):
            return True
    return os.path.realpath(first) == os.path.realpath(second)


def _unfinished(path: Path) -> Path:
    # A name of its own for each: two processes may write the same file at the same time.
    return path.with_name(f"{UNFINISHED}{_key(path.name)}-{identity()}-{uuid4().hex}")


def _key(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:12]


def _new_name(path: Path) -> Path:
    """`path`, or with a number if it exists, as an empty file, so that no other process takes the name."""
    number, place = 1, path
    while True:
        try:
            place.open("xb").close()
            return place
        except FileExistsError:
            number += 1
            place = path.with_name(f"{path.name}-{number}")


def _put_where_nothing_is(fresh: Path, path: Path) -> None:
    try:
        # Unlike a rename, this fails where another process has written the file in the meantime.
        os.link(fresh, path)
    except OSError:
        # It exists, or this file system has no hard links.
        refuse_existing(path)
        os.replace(fresh, path)


def sync(path: Path) -> None:
    """Have what was written to a file, or the names in a folder, on the disk when this returns."""
    is_folder = path.is_dir()
    # Windows cannot open a folder, and writes its entries by itself.
    if is_folder and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    try:
        with _named(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
