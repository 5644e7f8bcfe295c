"""Files of token scores: JSON lines, which can be resumed, or Parquet, which cannot."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, cast

import numpy as np

from reformer.errors import ReformerError
from reformer.files import replaced
from reformer.files import resumable as open_resumable
from reformer.inference.token_scores import TokenScores


class TokenScoreFile(Protocol):
    """File that token scores are written to, piece by piece."""

    def write(self, file: str, scores: TokenScores) -> None:
        """Add the scores of a piece of the text that is called `file`."""

    def length(self) -> int:
        """The number of bytes of the file that are on the disk."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_token_scores(path: Path, *, resume_at: int | None, resumable: bool, overwrite: bool) -> TokenScoreFile:
    """The file at `path`, of the kind that its suffix says.

    Args:
        path: ends with `.jsonl` or `.parquet`.
        resume_at: after how many bytes of the file to continue; None to begin it.
        resumable: whether the file may have to be resumed later.
        overwrite: whether a file that is there may be replaced.

    Raises:
        ReformerError: the suffix is another, the file is in the way or too short, or Parquet cannot be written.
    """
    if path.suffix not in (".jsonl", ".parquet"):
        raise ReformerError(f"{path}: expected a name that ends with .jsonl or .parquet")
    if path.suffix == ".parquet" and resumable:
        raise ReformerError(f"{path}: a Parquet file cannot be gone on with, as --state promises; give a .jsonl name")
    if resume_at is None and path.exists() and not overwrite:
        raise ReformerError(f"{path}: this exists already; take another --per-token, or --overwrite")
    if path.suffix == ".parquet":
        return _Parquet(path)
    return _JsonLines(path, resume_at, resumable=resumable)


class _JsonLines:
    def __init__(self, path: Path, resume_at: int | None, *, resumable: bool) -> None:
        self._path = path
        # Tokens after the state are scored again, and would stand in the file twice: it goes on where the state was.
        self._place = open_resumable(path, resume_at) if resumable else replaced(path)
        try:
            self._file = self._place.__enter__()
        except ValueError as error:
            raise ReformerError(
                f"{path}: {error} bytes are there, and the state was made when they were {resume_at:,}; give the "
                "same --per-token as before, or another --state"
            ) from None

    def write(self, file: str, scores: TokenScores) -> None:
        name = json.dumps(file, ensure_ascii=False)
        columns = (scores.ids, scores.starts, scores.ends, scores.bits)
        lines = [
            f'{{"file": {name}, "start": {start}, "end": {end}, "id": {token}, '
            f'"bits": {"null" if bits != bits else format(bits, ".6f")}}}\n'
            for token, start, end, bits in zip(*(column.tolist() for column in columns), strict=True)
        ]
        rest = memoryview("".join(lines).encode())
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            self._file.flush()
        except OSError as error:
            raise ReformerError(
                f"{self._path}: this cannot be written ({error.strerror or error}); what was written before is kept; "
                "make room, then give the same command again"
            ) from None

    def length(self) -> int:
        os.fsync(self._file.fileno())
        return self._file.tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._place.__exit__(kind, error, trace)


class _Parquet:
    def __init__(self, path: Path) -> None:
        try:
            import pyarrow  # pyright: ignore[reportMissingImports]
            import pyarrow.parquet  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise ReformerError(
                f"{path}: Parquet needs pyarrow, which is not installed; pip install 'reformer-torch[parquet]', or "
                "give a .jsonl name"
            ) from None
        self._path, self._arrow = path, cast(Any, pyarrow)
        types = {"file": "string", "start": "int64", "end": "int64", "id": "int64", "bits": "float64"}
        self._schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in types.items()])
        self._place = replaced(path)
        with self._errors_with_name():
            self._writer = pyarrow.parquet.ParquetWriter(self._place.__enter__(), self._schema)

    def write(self, file: str, scores: TokenScores) -> None:
        missing = np.isnan(scores.bits)
        columns = [
            [file] * len(scores.ids),
            scores.starts,
            scores.ends,
            scores.ids,
            self._arrow.array(scores.bits, mask=missing),
        ]
        with self._errors_with_name():
            self._writer.write_table(self._arrow.table(columns, schema=self._schema))

    def length(self) -> int:
        raise AssertionError("a Parquet file cannot be resumed")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            # The writer would otherwise end the file when it is collected, after the file was closed.
            with suppress(OSError):
                self._writer.close()
            with suppress(OSError):
                self._place.__exit__(kind, error, trace)
            return
        with self._errors_with_name():
            # Its footer first: without it a Parquet file cannot be read.
            try:
                self._writer.close()
            except OSError as failure:
                self._place.__exit__(type(failure), failure, failure.__traceback__)
                raise
            self._place.__exit__(None, None, None)

    @contextmanager
    def _errors_with_name(self) -> Iterator[None]:
        """Errors of the disk as `ReformerError` with the file's name, which Arrow leaves out."""
        try:
            yield
        except OSError as error:
            raise ReformerError(
                f"{self._path}: this cannot be written ({error}); a file that was there before is kept"
            ) from None
