"""Bodies of requests: bounded in size and time, and kept in a file while they are read."""

import asyncio
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from reformer.serving.refusals import BODY_LATE, NO_CODING, NO_SPACE, TOO_LARGE, WRONG, RefusalError
from reformer.serving.spool import Spool

NAMES: Mapping[str, str] = {
    "application/json": "request.jsonl",
    "application/x-ndjson": "request.jsonl",
    "application/jsonl": "request.jsonl",
    "text/csv": "request.csv",
    "text/tab-separated-values": "request.tsv",
    "text/plain": "request.txt",
    "image/png": "request.png",
    "image/jpeg": "request.jpg",
    "image/gif": "request.gif",
    "image/bmp": "request.bmp",
    "image/tiff": "request.tiff",
    "image/webp": "request.webp",
}
"""What a body of each type is called where the client gives it no name."""
LONGEST_NAME = 200
_NO_NAME = re.compile(r"[\x00-\x1f\x7f/\\:]|^\.")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on a request."""

    body: int
    """Bytes of a body."""
    seconds: float
    """How long a body, and then each answer, may take."""


class Upload:
    """The body of a request as a file of a folder of its own, which `close` removes.

    Raises:
        RefusalError: there is no space for it.
    """

    def __init__(self, spool: Spool, name: str) -> None:
        self.name = name
        with _space():
            self._folder = spool.new_folder()
        self.path = self._folder / name

    def write(self, text: str) -> None:
        """Make a text the body, half surrogates included, which the readers name.

        Raises:
            RefusalError: there is no space for it.
        """
        try:
            with _space():
                self.path.write_bytes(text.encode("utf-8", "surrogatepass"))
        except RefusalError:
            self.close()
            raise

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def _space() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        told = f"the server cannot keep the body ({error.strerror}); come again, or have space made where it runs"
        raise RefusalError(NO_SPACE, told, ["body"]) from None


def upload_name(request: Request, name: str | None) -> str:
    """What the body is called: by that its answers' ids and its format go.

    Raises:
        RefusalError: neither the client nor the type of the body says it, or it is no name of a file.
    """
    if name is not None:
        if _NO_NAME.search(name) or not name or len(os.fsencode(name)) > LONGEST_NAME:
            told = f"this is no name of a file, or has more than {LONGEST_NAME} bytes; give one such as texts.csv"
            raise RefusalError(WRONG, told, ["query", "name"])
        return name
    kind = content_type(request)
    if kind not in NAMES:
        told = f"a body of the type {kind or 'that is not told'}; name it, such as ?name=texts.csv, or give one of "
        raise RefusalError(WRONG, told + ", ".join(NAMES), ["header", "content-type"])
    return NAMES[kind]


def content_type(request: Request) -> str:
    """The type of the body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, limits: Limits) -> bytes:
    """The whole body, in memory.

    Raises:
        RefusalError: it is too large, or does not come to its end in time.
    """
    parts: list[bytes] = []
    await _each_part(request, limits, parts.append)
    return b"".join(parts)


async def save_body(request: Request, limits: Limits, spool: Spool, name: str) -> Upload:
    """The body as a file of this name.

    Raises:
        RefusalError: as `read_body`, or there is no space for it.
    """
    upload = Upload(spool, name)
    try:
        with _space(), upload.path.open("wb") as file:
            await _each_part(request, limits, file.write)
    except BaseException:
        upload.close()
        raise
    return upload


async def _each_part(request: Request, limits: Limits, take: Any) -> None:
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        told = f"a body with the coding {coding}; send it as it is, or call a compressed file so: ?name=texts.jsonl.gz"
        raise RefusalError(NO_CODING, told, ["header", "content-encoding"], {"Connection": "close"})
    # A client that says so much is not asked to send it.
    length = request.headers.get("content-length", "")
    size = int(length) if length.isdecimal() else 0
    if size <= limits.body:
        size = 0
        try:
            async with asyncio.timeout(limits.seconds):
                async for part in request.stream():
                    size += len(part)
                    if size > limits.body:
                        break
                    take(part)
        except TimeoutError:
            told = f"the body did not come to its end within {limits.seconds:g} s; send it faster, or in parts"
            raise RefusalError(BODY_LATE, told, ["body"], {"Connection": "close"}) from None
    if size > limits.body:
        told = f"a body of more than {limits.body:,} bytes; send it in parts, or serve with a greater --max-body"
        raise RefusalError(TOO_LARGE, told, ["body"], {"Connection": "close"})


def parsed(body: bytes) -> Any:
    """The value of a JSON body.

    Raises:
        RefusalError: it is none.
    """
    try:
        return json.loads(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RefusalError(WRONG, f"byte {error.start} is not UTF-8; send the body as UTF-8", ["body"]) from None
    except (ValueError, RecursionError) as error:
        raise RefusalError(WRONG, f"this is no JSON ({error}); send one value", ["body"]) from None
