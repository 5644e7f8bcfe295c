"""Connections over a real socket: one whose request does not begin is closed, and one that is answered is not."""

import asyncio

import pytest
import uvicorn

from reformer.serving import protocol
from reformer.serving.address import bound_socket
from reformer.serving.protocol import Protocol

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n"


async def echo(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def spoken(port, parts):
    """What the server says to one that sends a part each tenth of a second; None for one that stays connected."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.1)
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([], b""),
        ([b"GET / HT"], b""),
        # A byte now and then.
        ([bytes([each]) for each in HEAD[:12]], b""),
        # A body has a limit of its own.
        ([HEAD, *[b""] * 10, b"abcd"], b"abcd"),
        # Half of a second request.
        ([HEAD + b"abcd", b"GET / HT"], b"abcd"),
    ],
)
def test_a_connection_that_asks_nothing_is_closed(monkeypatch, parts, told):
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.5)

    async def ask():
        with bound_socket("127.0.0.1", 0) as bound:
            config = uvicorn.Config(
                echo, http=Protocol, ws="none", lifespan="off", log_level="error", timeout_keep_alive=1
            )
            server = uvicorn.Server(config)
            serving = asyncio.ensure_future(server._serve([bound]))
            try:
                while not server.started:
                    await asyncio.sleep(0.01)
                return await spoken(bound.getsockname()[1], parts)
            finally:
                server.should_exit = True
                await serving

    assert asyncio.run(ask()).endswith(told)
