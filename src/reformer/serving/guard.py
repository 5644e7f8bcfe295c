"""Guard around the application: bearer token, headers that keep a browser to this host, access log, metrics."""

import hmac
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from reformer.serving.address import is_loopback

LOG = logging.getLogger("reformer.access")

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
OPEN = ("/health",)
"""Paths that need no token, beside the page itself, which asks for it."""


class Metrics:
    """Prometheus' metrics of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.requests = Counter(
            "reformer_requests", "Requests that were answered", ("path", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "reformer_request_seconds", "Seconds from a request to the end of its response", ("path",),
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100), registry=self.registry,
        )  # fmt: skip
        self.in_progress = Gauge("reformer_requests_in_progress", "Requests under way", registry=self.registry)
        self.waiting = Gauge("reformer_waiting", "Records that wait for a batch", ("run",), registry=self.registry)
        self.records = Counter("reformer_records", "Records that were answered", ("run",), registry=self.registry)
        self.tokens = Counter("reformer_tokens", "Tokens of them", ("run",), registry=self.registry)
        self.batches = Histogram(
            "reformer_batch_records", "Records of a batch", ("run",),
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512), registry=self.registry,
        )  # fmt: skip
        self.batch_seconds = Histogram(
            "reformer_batch_seconds", "Seconds of a batch", ("run",),
            buckets=(0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100), registry=self.registry,
        )  # fmt: skip

    def on_batch(self, run: str) -> Callable[[int, int, float], None]:
        """What counts the batches of a run."""

        def count(records: int, tokens: int, seconds: float) -> None:
            self.records.labels(run).inc(records)
            self.tokens.labels(run).inc(tokens)
            self.batches.labels(run).observe(records)
            self.batch_seconds.labels(run).observe(seconds)

        return count


class Guard:
    """ASGI middleware. The log has a JSON object a request: never a text, a query or a header.

    Args:
        app: the application.
        token: that a client has to bear; None: everybody may ask.
        only_here: answer requests to an address of this machine alone. A page of another host, whose name was made to
            lead here, asks for that name (DNS rebinding).
    """

    def __init__(self, app: Any, metrics: Metrics, token: str | None, *, only_here: bool = False) -> None:
        self._app, self._metrics, self._only_here = app, metrics, only_here
        self._token = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status, sent, received, method = time.monotonic(), 0, 0, 0, scope["method"]
        if method == "HEAD":
            # What answers GET answers it, less the body.
            scope = {**scope, "method": "GET"}

        async def counted_receive() -> Any:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def guarded_send(message: Any) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name.lower() for name, _ in message["headers"]}
                own = ((name.encode(), value.encode()) for name, value in HEADERS.items())
                message["headers"] = [*message["headers"], *(pair for pair in own if pair[0] not in given)]
            elif method == "HEAD":
                message = {**message, "body": b""}
            sent += len(message.get("body", b""))
            await send(message)

        self._metrics.in_progress.inc()
        try:
            if self._only_here and not _is_asked_here(scope):
                await _refuse(guarded_send, 421, "host", "this server answers at 127.0.0.1 and localhost alone; start "
                              "it with --host for other names")  # fmt: skip
            elif self._may(scope):
                await self._app(scope, counted_receive, guarded_send)
            else:
                await _refuse(guarded_send, 401, "authorization", "the token is missing or wrong; send it as "
                              "Authorization: Bearer TOKEN")  # fmt: skip
        finally:
            self._metrics.in_progress.dec()
            seconds = time.monotonic() - begun
            # Of a path that is not ours, which may hold anything, nothing is kept.
            path = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(path, status).inc()
            self._metrics.seconds.labels(path).observe(seconds)
            told = {
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "client": scope["client"][0] if scope.get("client") else None,
                "method": method if method in ("GET", "POST", "HEAD", "OPTIONS") else "other",
                "path": path,
                # 499: the client went away before an answer.
                "status": status or 499,
                "seconds": round(seconds, 4),
                "received": received,
                "sent": sent,
            }
            LOG.info(json.dumps(told))

    def _may(self, scope: Any) -> bool:
        path = scope["path"]
        if self._token is None or path in OPEN or (scope["method"] == "GET" and _is_page(path)):
            return True
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        # Label Studio knows a name and a password alone; the password is the token then.
        return hmac.compare_digest(given, self._token) or hmac.compare_digest(_password(given), self._token)


def _is_page(path: str) -> bool:
    return path == "/" or path.startswith("/page/") or (path.startswith("/runs/") and path.endswith("/page"))


def _password(header: bytes) -> bytes:
    """The password of basic authentication, in the form of a bearer token."""
    from base64 import b64decode

    kind, _, given = header.partition(b" ")
    if kind.lower() != b"basic":
        return b""
    try:
        return b"Bearer " + b64decode(given, validate=True).partition(b":")[2]
    except ValueError:
        return b""


def _is_asked_here(scope: Any) -> bool:
    given = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
    name = given.rpartition(":")[0] if given.rpartition(":")[2].isdigit() else given
    return is_loopback(name.strip("[]").lower())


async def _refuse(send: Any, status: int, header: str, message: str) -> None:
    told = {"type": "refused", "loc": ["header", header], "msg": message}
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": [told]}).encode()})
