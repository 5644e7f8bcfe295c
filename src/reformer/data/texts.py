"""Running text on disk, of any size: which bytes of which files it is, and its characters piece by piece."""

import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from reformer.data.cache import cache_folder, file_key, is_kept, new_cache_file
from reformer.data.errors import DataError
from reformer.wording import counted

# Characters are decoded, counted and tokenised in pieces of so many bytes.
PIECE = 1 << 18

MOST_UNPACKED, MOST_RATIO = 1 << 30, 200
"""Bytes of an unpacked file, at most, and how many times those of its `.gz` where that is more. Texts shrink to a fifth
of their size; what shrinks to a thousandth fills a disk."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The bytes from `start` to `stop` of a plain file; `name` is the file that the user knows it by."""

    path: Path
    start: int
    stop: int
    name: str

    def __len__(self) -> int:
        return self.stop - self.start


def find_text(path: str) -> list[Stretch]:
    """The text of a file, or of a folder's files one after the other in the order of their paths.

    Hidden files of a folder are left out. A `.gz` is unpacked into the cache folder once.

    Raises:
        DataError: there is no such path, it holds no byte, or a file in it cannot be read.
    """
    found = Path(path)
    files = _files(found) if found.is_dir() else [found]
    stretches = [stretch for stretch in map(_whole, files) if len(stretch)]
    if not stretches:
        raise DataError(path, None, "there is no text in it, not a single byte", "give a file that has some")
    return stretches


def split_text(stretches: Sequence[Stretch], position: int) -> tuple[list[Stretch], list[Stretch]]:
    """The text before and from byte `position` on, or from the next byte where a character begins."""
    before: list[Stretch] = []
    for number, stretch in enumerate(stretches):
        if position < len(stretch):
            cut = _next_character(stretch, stretch.start + position)
            parts = replace(stretch, stop=cut), replace(stretch, start=cut)
            after = [parts[1], *stretches[number + 1 :]]
            return [part for part in [*before, parts[0]] if len(part)], [part for part in after if len(part)]
        before.append(stretch)
        position -= len(stretch)
    return before, []


def text_pieces(stretch: Stretch, size: int = PIECE) -> Iterator[tuple[int, str]]:
    """The characters of a stretch in pieces of at most `size` bytes, with the byte each piece begins at.

    A piece ends behind a line, else behind a space, else between two characters; where it ends depends on nothing
    but where it began.

    Raises:
        DataError: the file cannot be read, or is not UTF-8; the message names the byte.
    """
    offset = stretch.start
    with open_text(stretch) as file:
        while offset < stretch.stop:
            data = read_bytes(file, stretch, offset, size)
            if offset + len(data) < stretch.stop:
                data = data[: _last_border(data)]
            try:
                yield offset, data.decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    stretch.name,
                    None,
                    f"byte {offset + error.start:,} is not UTF-8",
                    "save the file as UTF-8, or train with tokenizer.kind = byte, which reads any bytes",
                ) from None
            offset += len(data)


@contextmanager
def open_text(stretch: Stretch) -> Iterator[IO[bytes]]:
    """Open a stretch's file to read bytes from it.

    Raises:
        DataError: it cannot be opened.
    """
    try:
        file = stretch.path.open("rb")
    except OSError as error:
        raise _unreadable(stretch.name, error) from error
    with file:
        yield file


def read_bytes(file: IO[bytes], stretch: Stretch, offset: int, size: int) -> bytes:
    """The bytes of a stretch from `offset` on, `size` of them or as many as there are.

    Raises:
        DataError: the file cannot be read, or is shorter than it was.
    """
    wanted = min(size, stretch.stop - offset)
    try:
        file.seek(offset)
        data = file.read(wanted)
    except OSError as error:
        raise _unreadable(stretch.name, error) from error
    if len(data) < wanted:
        raise DataError(
            stretch.name, None, f"it ends at byte {offset + len(data):,}, earlier than before", "leave it as it is"
        )
    return data


def _files(folder: Path) -> list[Path]:
    def hidden(path: Path) -> bool:
        return any(part.startswith(".") for part in path.relative_to(folder).parts)

    return sorted(path for path in folder.rglob("*") if path.is_file() and not hidden(path))


def _whole(path: Path) -> Stretch:
    try:
        plain = _unpacked(path) if path.suffix.lower() == ".gz" else path
        # Opening tells what a size does not: whether the file may be read.
        with plain.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise _unreadable(str(path), error) from error
    return Stretch(plain, 0, size, str(path))


def _unpacked(path: Path) -> Path:
    plain = cache_folder() / "unpacked" / f"{path.stem}-{file_key(path)}"
    if is_kept(plain):
        return plain
    with path.open("rb"), new_cache_file(plain) as target:
        try:
            with gzip.open(path) as packed:
                size, most = 0, max(MOST_UNPACKED, MOST_RATIO * path.stat().st_size)
                while chunk := packed.read(1 << 20):
                    size += len(chunk)
                    if size > most:
                        raise DataError(
                            path,
                            None,
                            f"the compressed file holds over {counted(most, 'byte')}, more than {MOST_RATIO} times "
                            "its size",
                            "unpack it yourself if that is meant",
                        )
                    target.write(chunk)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(
                path, None, f"the compressed file is broken ({error})", "make or fetch the .gz file anew"
            ) from error
    return plain


def _unreadable(name: str, error: OSError) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(name, None, "there is no such file", "check the path")
    return DataError(name, None, f"cannot be read ({error.strerror or error})", "check the file's permissions and disk")


def _next_character(stretch: Stretch, offset: int) -> int:
    with open_text(stretch) as file:
        following = read_bytes(file, stretch, offset, 4)
    return offset + next((step for step, byte in enumerate(following) if byte & 0xC0 != 0x80), 0)


def _last_border(data: bytes) -> int:
    for border in (b"\n", b" "):
        if cut := data.rfind(border) + 1:
            return cut
    # A character has at most four bytes; what is longer is no UTF-8 and will be reported.
    for back in range(1, min(4, len(data) - 1) + 1):
        if data[-back] & 0xC0 != 0x80:
            return len(data) - back
    return len(data)
