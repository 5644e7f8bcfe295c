"""Files in object stores, such as those of S3, named by URLs like `s3://bucket/folder/file.jsonl`."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from reformer.data.errors import DataError

STORES = ("s3", "gs", "gcs", "abfs", "hdfs")
"""Schemes of URLs, for each of which pyarrow has a file system."""
_BUFFER = 1 << 20
"""Bytes that are asked for at a time."""


def is_url(name: str) -> bool:
    """Whether a name is that of a file in an object store.

    >>> is_url("s3://bucket/a.jsonl"), is_url("folder/a.jsonl"), is_url("index:digits")
    (True, False, False)
    """
    return "://" in name


def open_url(url: str) -> IO[bytes]:
    """The bytes of a file, from its beginning; it can be sought in.

    Raises:
        DataError: it cannot be asked for by this name.
        OSError: there is no such file, or it cannot be read.
    """
    system, path = _found(url)
    return io.BufferedReader(system.open_input_file(path), _BUFFER)


def url_state(url: str) -> str | None:
    """Size and time of the last change of a file, which tell whether it is still the same; None where there is none."""
    from pyarrow.fs import FileType

    with _readable(url):
        system, path = _found(url)
        info = system.get_file_info(path)
        return f"{info.size} bytes of {info.mtime_ns}" if info.type == FileType.File else None


def files_at(url: str) -> Iterator[str]:
    """The files that a URL stands for: itself, all in a folder and below it, or what matches a pattern (`*`, `?`,
    `[...]`, and `**` for folders), as URLs; hidden files are passed over.

    Raises:
        DataError: there is none, or the store cannot be asked.
    """
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow.fs import FileSelector

    scheme = url.partition("://")[0]
    with _readable(url):
        system, path = _found(url)
        # The wrapper takes a store that does not answer for an empty one.
        known = re.split(r"[*?\[]", path)[0]
        system.get_file_info(FileSelector(known.rpartition("/")[0] or known, allow_not_found=True))
        store: Any = ArrowFSWrapper(system)
        found = [path] if known == path else store.glob(path)
        files = [file for each in found for file in ([each] if store.isfile(each) else store.find(each))]
    files = [file for file in files if not any(part.startswith(".") for part in file.split("/"))]
    if not files:
        raise DataError(
            url,
            None,
            "there is no such file, and nothing in it or that it matches, hidden ones left out",
            "check the name",
        )
    for file in files:
        yield f"{scheme}://{file}"


def _found(url: str) -> tuple[Any, str]:
    """The file system of pyarrow that a URL is in, and its path there."""
    scheme, _, path = url.partition("://")
    if scheme not in STORES:
        raise DataError(url, None, f"{scheme}:// is not read", f"give a file, or one of {', '.join(STORES)}")
    try:
        from pyarrow.fs import FileSystem
    except ImportError:
        raise DataError(
            url, None, "pyarrow, which reads this, is not installed", "pip install 'reformer-torch[parquet]'"
        ) from None
    bucket = path.partition("/")[0]
    if not bucket:
        raise DataError(url, None, "this names no bucket", f"give {scheme}://BUCKET/FILE")
    with _readable(url):
        # By the bucket alone: what else a path holds may be a pattern.
        system, _ = FileSystem.from_uri(f"{scheme}://{bucket}")
    return system, path


@contextmanager
def _readable(url: str) -> Iterator[None]:
    """Turns the errors of a store into those of data."""
    from pyarrow import ArrowException

    try:
        yield
    except (OSError, ArrowException) as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(
            url, None, f"cannot be asked for ({reason})", "check the name, the network and the credentials"
        ) from None
