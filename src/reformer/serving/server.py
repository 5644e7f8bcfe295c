"""Server of runs: address, token, signals and log around the application."""

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from reformer.serving.app import make_app
from reformer.serving.engine import Engine
from reformer.serving.guard import LOG, Metrics, is_loopback
from reformer.serving.served_run import load_runs
from reformer.serving.uploads import Limits

CONNECTIONS = 1024
"""Connections above which the server answers 503 without reading."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How runs are served."""

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    body: int = 64 << 20
    """Bytes of a body, at most."""
    seconds: float = 120.0
    """How long a body, and then each answer, may take."""
    waiting: int = 1024
    """Records that wait, at most."""


class _Server(uvicorn.Server):
    """Server that ends by the first Ctrl-C or termination request when all that is under way is answered, and by the
    second at once; its process then ends as any that is done."""

    async def serve(self, sockets: Any = None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        await self._serve(sockets)


def serve(folders: Sequence[Path], options: ServerOptions) -> None:
    """Serve runs until the process is told to end.

    Raises:
        ReformerError: a run cannot be loaded, or the address cannot be had.
    """
    metrics = Metrics()
    names = iter([folder.resolve().name for folder in folders])
    runs = load_runs(folders, lambda tokens: Engine(tokens, options.waiting, metrics.on_batch(next(names))))
    limits = Limits(options.body, options.seconds)
    _log_plainly()
    config = uvicorn.Config(
        make_app(runs, limits, metrics, options.token, only_here=is_loopback(options.host)),
        host=options.host,
        port=options.port,
        access_log=False,
        log_level="warning",
        limit_concurrency=CONNECTIONS,
        server_header=False,
        lifespan="on",
    )
    server = _Server(config)
    asyncio.run(server.serve(sockets=[config.bind_socket()]))


def _log_plainly() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    LOG.handlers, LOG.propagate = [handler], False
    LOG.setLevel(logging.INFO)
