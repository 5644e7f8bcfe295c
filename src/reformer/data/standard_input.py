"""Standard input as a file that can be read several times."""

import atexit
import io
import os
import shutil
import sys
import tempfile
from typing import IO, Any

STANDARD_INPUT = "-"
"""The name of standard input among files to read."""
_standard_input: tuple[Any, IO[bytes]] | None = None


def open_standard_input() -> IO[bytes]:
    """What stands in standard input, from its beginning, as often as it is opened: it is kept in a file without a name.

    >>> import sys
    >>> before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(b"abc"))
    >>> open_standard_input().read(2), open_standard_input().read()
    (b'ab', b'abc')
    >>> sys.stdin = before
    """
    global _standard_input
    if _standard_input is None or _standard_input[0] is not sys.stdin:
        if _standard_input is not None:
            _standard_input[1].close()
        kept = tempfile.TemporaryFile()  # noqa: SIM115
        atexit.register(kept.close)
        shutil.copyfileobj(sys.stdin.buffer, kept)
        _standard_input = sys.stdin, kept
    return io.BufferedReader(_View(_standard_input[1]))


class _View(io.RawIOBase):
    """A file that others read, too, at a place of its own."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._place = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_END:
            offset += self._file.seek(0, os.SEEK_END)
        elif whence == os.SEEK_CUR:
            offset += self._place
        self._place = offset
        return offset

    def readinto(self, buffer: Any, /) -> int:
        self._file.seek(self._place)
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)
