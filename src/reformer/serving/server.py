"""Server of runs: signals and log around the application."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from reformer.serving.address import bound_socket, is_loopback, url_of
from reformer.serving.app import make_app
from reformer.serving.engine import Engine
from reformer.serving.guard import LOG, Metrics
from reformer.serving.memory import FreedMemory, use_one_arena
from reformer.serving.protocol import Protocol
from reformer.serving.served_run import load_runs
from reformer.serving.spool import Spool
from reformer.serving.uploads import Limits

CONNECTIONS = 1024
"""Connections above which the server answers 503 without reading."""
STOPS = signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ())
"""Ctrl-C, a termination request, and a closed terminal."""


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
    """Server that ends by the first request to stop when all that is under way is answered, as any that is
    done, and by the second at once, as one that was interrupted."""

    def __init__(self, config: uvicorn.Config, spool: Spool, on_ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._spool, self._on_ready = spool, on_ready

    async def serve(self, sockets: Any = None) -> None:
        for number in STOPS:
            # `nohup` has it ignored.
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self.handle_exit)
        await self._serve(sockets)
        if self.force_exit:
            # asyncio would cancel what is under way with tracebacks, and threads that still compute may crash while the
            # interpreter is taken down.
            self._spool.close()
            sys.stderr.flush()
            os._exit(128 + signal.SIGINT)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self._on_ready()


def serve(folders: Sequence[Path], options: ServerOptions, on_ready: Callable[[str], object]) -> None:
    """Serve runs until the process is told to end.

    Args:
        on_ready: is called with the URL when requests are answered.

    Raises:
        ReformerError: a run cannot be loaded, or the address cannot be had.
    """
    # Before the runs are loaded, which takes its time.
    with bound_socket(options.host, options.port) as bound:
        # Before there are threads.
        use_one_arena()
        metrics, memory = Metrics(), FreedMemory()
        names = iter([folder.resolve().name for folder in folders])

        def engine(tokens: int) -> Engine:
            count = metrics.on_batch(next(names))

            def on_batch(works: int, tokens: int, seconds: float) -> None:
                count(works, tokens, seconds)
                memory.touch()

            return Engine(tokens, options.waiting, on_batch)

        runs = load_runs(folders, engine)
        limits = Limits(options.body, options.seconds)
        _log_plainly()
        with Spool() as spool:
            app = make_app(runs, limits, metrics, spool, options.token, only_here=is_loopback(options.host))
            config = uvicorn.Config(
                _told(app, memory),
                http=Protocol,
                ws="none",
                access_log=False,
                log_level="warning",
                limit_concurrency=CONNECTIONS,
                server_header=False,
                lifespan="on",
            )
            server = _Server(config, spool, lambda: on_ready(url_of(bound)))
            asyncio.run(server.serve([bound]))


def _told(app: Any, memory: FreedMemory) -> Any:
    """The application; memory is told of each request: the body of one that is refused is in no batch."""

    async def telling(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        finally:
            memory.touch()

    return telling


def _log_plainly() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    LOG.handlers, LOG.propagate = [handler], False
    LOG.setLevel(logging.INFO)
