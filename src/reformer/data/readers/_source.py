"""The bytes and lines of a file that may be compressed or in another encoding; every fault is a `DataError`."""

import codecs
import gzip
import os
import re
import zlib
from types import TracebackType
from typing import IO

from reformer.data.errors import DataError
from reformer.data.readers._encodings import for_iconv, is_encoding, is_utf8, likely_encoding, recoded
from reformer.data.remote import is_url, open_url
from reformer.data.standard_input import STANDARD_INPUT, open_standard_input

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MOST_BYTES = 1 << 28
"""Bytes of a line, or of a file that is read whole, at most: they are held in memory, and a compressed file may hold a
thousand times its size."""

_SAMPLE = 1 << 16
"""Bytes of a file's beginning that its encoding and its line ends are told by."""
_SAVE_AS_TEXT = "save it from its program as text, a table as CSV in UTF-8"
_NO_TEXTS = {
    b"\x1f\x8b": ("compressed by gzip", "give it a name that ends with .gz"),
    b"PK\x03\x04": (
        "a workbook of Excel, a document of Word or another archive (zip)",
        f"unpack it, or {_SAVE_AS_TEXT}",
    ),
    b"\xd0\xcf\x11\xe0": ("a file of an older Excel or Word", _SAVE_AS_TEXT),
    b"%PDF-": ("a PDF", "extract its text"),
}
"""Kinds of files that are no text, by their first bytes, and what to do about each."""
_CARRIAGE_RETURN_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)")


class UnreadableFileError(DataError):
    """The file as a whole cannot be read, so there is no next record to go on with."""


class Place:
    """Place of a record in a file, for errors and names."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = self.name_of(path)
        self.line = 0

    @staticmethod
    def name_of(path: str) -> str:
        """The name of a file or folder without the folder it is in."""
        return os.path.basename(os.path.normpath(path))

    def error(self, problem: str, remedy: str, line: int | None = None) -> DataError:
        """A `DataError` at `line`, by default at the line that was read last."""
        return DataError(self.path, self.line if line is None else line, problem, remedy)


class Source(Place):
    """An open file: its lines by iteration, or its bytes by `read`, and the number of the line reached.

    A line that is not UTF-8 raises `DataError`, and the iteration can go on behind it. Lines end with a line feed;
    in a file that begins without one, as old Macs write them, with a carriage return.

    Args:
        encoding: of the file, whose bytes are those of UTF-8 to all who read it from here; None: UTF-8.
    """

    def __init__(self, path: str, encoding: str | None = None):
        if encoding is not None and not is_encoding(encoding):
            raise UnreadableFileError(path, None, f"there is no encoding {encoding!r}", "use a name such as gb18030")
        super().__init__(path)
        self._offset = 0
        self._mark = 0
        self._pending: bytes | None = None
        try:
            # Opening a folder fails with a message that differs between systems, so it is asked for first.
            if os.path.isdir(path):
                raise UnreadableFileError(path, None, "this is a folder", "give the files in it")
            # Closed by __exit__.
            self._stream: IO[bytes] | gzip.GzipFile = _opened(path)
        except FileNotFoundError:
            raise UnreadableFileError(path, None, "there is no such file", "check the path") from None
        except OSError as error:
            raise self._unreadable(error) from error
        if encoding is not None and not is_utf8(encoding):
            self._stream = recoded(self._stream, encoding, lambda error: self._not_encoded(encoding, error))

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
            line = self._read_line()
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

    def _read_line(self) -> bytes:
        if self.line == 0 and self._offset == 0:
            begin = self._stream.peek(_SAMPLE)[:_SAMPLE]  # pyright: ignore[reportAttributeAccessIssue]
            self._refuse_no_text(begin)
            if b"\r" in begin and b"\n" not in begin:
                self._pending = b""
        if self._pending is None:
            return self._stream.readline(MOST_BYTES + 1)
        while True:
            line = _CARRIAGE_RETURN_LINE.match(self._pending)
            # A line feed may follow in the next bytes.
            if line is not None and line.end() < len(self._pending):
                break
            data = self._stream.read(max(_SAMPLE, len(self._pending)))
            self._pending += data
            if not data or self.is_too_long(self._pending):
                line = _CARRIAGE_RETURN_LINE.match(self._pending)
                break
        end = len(self._pending) if line is None else line.end()
        found, self._pending = self._pending[:end], self._pending[end:]
        return found

    def read(self, size: int = -1) -> bytes:
        """The next bytes, all that are left by default, without a byte order mark."""
        try:
            data = self._stream.read(MOST_BYTES + 1 if size < 0 else size)
        except (OSError, EOFError, zlib.error) as error:
            raise self._unreadable(error) from error
        if size < 0 and self.is_too_long(data):
            raise self.too_long("a file that is read whole", None)
        if self._offset == 0:
            self._refuse_no_text(data)
        if self._offset == 0 and data.startswith(_BYTE_ORDER_MARK):
            self._mark = len(_BYTE_ORDER_MARK)
        first = self._offset == 0
        self._offset += len(data)
        return data[self._mark :] if first else data

    def _refuse_no_text(self, begin: bytes) -> None:
        for mark, (what, remedy) in _NO_TEXTS.items():
            if begin.startswith(mark):
                raise UnreadableFileError(self.path, None, f"this is no text but {what}", remedy)

    def decode(self, data: bytes, offset: int) -> str:
        """`data`, which begins `offset` bytes into what was read, as text."""
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            line = self.line + data.count(b"\n", 0, error.start)
            place = self._mark + offset + error.start
            raise self.error(
                f"not UTF-8 (byte 0x{data[error.start]:02x} at byte offset {place} of the file)",
                self._encoding_remedy(data, place),
                line=max(line, 1),
            ) from None
        # UTF-16 of ASCII, without a mark, is UTF-8 as well.
        if data.count(0) * 3 > len(data):
            raise self.error(
                "not UTF-8 (a byte of 0 beside each letter)",
                self._encoding_remedy(data, self._mark + offset),
                line=max(self.line, 1),
            )
        return text

    def _encoding_remedy(self, data: bytes, place: int) -> str:
        """What to do about bytes of this file that are not UTF-8 at this place, by what they seem to be."""
        begin = self._beginning() or data
        before = begin[:place].removeprefix(_BYTE_ORDER_MARK)
        if place < len(begin) and b"\0" not in begin and not before.isascii() and _is_utf8(before):
            own = likely_encoding(data)
            seems = "" if own is None else f", it seems to be {for_iconv(own)}"
            return f"what stands before it is UTF-8 and this is not{seems}; write it in UTF-8, too"
        encoding = likely_encoding(begin if any(byte > 127 or byte == 0 for byte in begin) else data)
        if encoding is None:
            return "save the file as UTF-8, or give its encoding: --encoding NAME (data.encoding in a recipe)"
        return (
            f"it seems to be {for_iconv(encoding)}; save it as UTF-8, for example: iconv -f {for_iconv(encoding)} -t "
            f"UTF-8 OLD > NEW, or give --encoding {encoding} (data.encoding in a recipe)"
        )

    def _beginning(self) -> bytes:
        """The first bytes of the file, decompressed; empty where it cannot be read twice."""
        try:
            with _opened(self.path) as file:
                return file.read(_SAMPLE) if file.seekable() else b""
        except (OSError, EOFError, zlib.error):
            return b""

    def _not_encoded(self, encoding: str, error: UnicodeError) -> "UnreadableFileError":
        begin = self._beginning()
        other = "utf-8" if _is_utf8(begin) else likely_encoding(begin)
        seems = "give the encoding it is in" if other is None else f"it seems to be {other}; give that as its encoding"
        return UnreadableFileError(self.path, None, f"not {encoding} ({getattr(error, 'reason', error)})", seems)

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


def _opened(path: str) -> IO[bytes] | gzip.GzipFile:
    if path == STANDARD_INPUT:
        return open_standard_input()
    if is_url(path):
        opened = open_url(path)
        return gzip.GzipFile(fileobj=opened) if path.lower().endswith(".gz") else opened
    return gzip.open(path) if path.lower().endswith(".gz") else open(path, "rb")


def _is_utf8(begin: bytes) -> bool:
    """Whether the beginning of a file is UTF-8; a character may be cut at its end."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(begin)
    except UnicodeDecodeError:
        return False
    return True
