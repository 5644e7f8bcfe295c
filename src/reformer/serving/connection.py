"""A client that goes away before it is answered, or while it is."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from reformer.serving.refusals import RefusalError

Answer = TypeVar("Answer")
GONE = 499
"""The status of a request whose client has gone, which no one reads."""


async def while_connected(request: Request, answer: Awaitable[Answer]) -> Answer:
    """The answer to a request whose body has been read; cancelled where its client goes away.

    Raises:
        RefusalError: the client has gone away.
    """
    answering = asyncio.ensure_future(answer)
    leaving = asyncio.ensure_future(_gone(request))
    waiting: set[asyncio.Future[Any]] = {answering, leaving}
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            return answering.result()
        raise RefusalError(GONE, "the client has gone away")
    finally:
        for future in waiting:
            future.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


class Stream(StreamingResponse):
    """Response whose parts are sent as they are ready, and whose end is told, also where it never begins.

    A generator that nobody has asked for its first part runs none of its `finally`: what was opened for it is closed
    here.

    Args:
        parts: what is sent, after `first`.
        on_end: is called when nothing more is sent.
    """

    def __init__(
        self, parts: AsyncGenerator[str], media_type: str, on_end: Callable[[], object], first: str | None = None
    ) -> None:
        super().__init__(_preceded(first, parts), media_type=media_type)
        self._parts, self._on_end = parts, on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            try:
                await self._parts.aclose()
            finally:
                self._on_end()


async def _preceded(first: str | None, parts: AsyncGenerator[str]) -> AsyncGenerator[str]:
    if first is not None:
        yield first
    async for part in parts:
        yield part


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
