"""A client that goes away before it is answered."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from fastapi import Request

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


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
