"""The bytes and lines of a file that may be compressed; every fault in them is a `DataError`."""

import gzip
import os
import zlib
from types import TracebackType
from typing import IO

from reformer.data.errors import DataError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MOST_BYTES = 1 << 28
"""Bytes of a line, or of a file that is read whole, at most: they are held in memory, and a compressed file may hold a
thousand times its size."""

_TO_UTF8 = "save the file as UTF-8, for example: iconv -f GB18030 -t UTF-8 OLD > NEW"


class UnreadableFileError(DataError):
    """The file as a whole cannot be read, so there is no next record to go on with."""


class Source:
    """An open file: its lines by iteration, or its bytes by `read`, and the number of the line reached.

    A line that is not UTF-8 raises `DataError`, and the iteration can go on behind it.
    """

    def __init__(self, path: str):
        self.path = path
        self.name = os.path.basename(path)
        self.line = 0
        self._offset = 0
        self._mark = 0
        try:
            # Opening a folder fails with a message that differs between systems, so it is asked for first.
            if os.path.isdir(path):
                raise UnreadableFileError(path, None, "this is a folder", "give the files in it")
            compressed = path.lower().endswith(".gz")
            # Closed by __exit__.
            self._stream: IO[bytes] | gzip.GzipFile = (
                gzip.open(path) if compressed else open(path, "rb")  # noqa: SIM115
            )
        except FileNotFoundError:
            raise UnreadableFileError(path, None, "there is no such file", "check the path") from None
        except OSError as error:
            raise self._unreadable(error) from error

    def __enter__(self) -> "Source":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def __iter__(self) -> "Source":
        return self

    def __next__(self) -> str:
        try:
            line = self._stream.readline(MOST_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise self._unreadable(error) from error
        if not line:
            raise StopIteration
        self.line += 1
        if self.is_too_long(line):
            raise self.too_long("a line", self.line)
        self._offset += len(line)
        text = self.decode(line, self._offset - len(line))
        return text.removeprefix("\ufeff") if self.line == 1 else text

    def read(self, size: int = -1) -> bytes:
        """The next bytes, all that are left by default, without a byte order mark."""
        try:
            data = self._stream.read(MOST_BYTES + 1 if size < 0 else size)
        except (OSError, EOFError, zlib.error) as error:
            raise self._unreadable(error) from error
        if size < 0 and self.is_too_long(data):
            raise self.too_long("a file that is read whole", None)
        if self._offset == 0 and data.startswith(_BYTE_ORDER_MARK):
            self._mark = len(_BYTE_ORDER_MARK)
        first = self._offset == 0
        self._offset += len(data)
        return data[self._mark :] if first else data

    def decode(self, data: bytes, offset: int) -> str:
        """`data`, which begins `offset` bytes into what was read, as text."""
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            line = self.line + data.count(b"\n", 0, error.start)
            place = self._mark + offset + error.start
            raise self.error(
                f"not UTF-8 (byte 0x{data[error.start]:02x} at byte offset {place} of the file)",
                _TO_UTF8,
                line=max(line, 1),
            ) from None

    def error(self, problem: str, remedy: str, line: int | None = None) -> DataError:
        """A `DataError` at `line`, by default at the line that was read last."""
        return DataError(self.path, self.line if line is None else line, problem, remedy)

    @staticmethod
    def is_too_long(data: bytes) -> bool:
        """Whether these bytes, which are held in memory, are more than `MOST_BYTES`."""
        return len(data) > MOST_BYTES

    def too_long(self, what: str, line: int | None) -> UnreadableFileError:
        """The error of what has more than `MOST_BYTES`."""
        return UnreadableFileError(
            self.path, line, f"{what} of more than {MOST_BYTES:,} bytes", "divide it into several documents"
        )

    def _unreadable(self, error: Exception) -> UnreadableFileError:
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, gzip.BadGzipFile | EOFError | zlib.error):
            return UnreadableFileError(
                self.path,
                self.line + 1,
                f"the compressed file is broken here ({reason})",
                "make or fetch the .gz file anew",
            )
        return UnreadableFileError(
            self.path, None, f"cannot be read ({reason})", "check the file's permissions and disk"
        )
