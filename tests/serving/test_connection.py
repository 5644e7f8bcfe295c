"""A client that leaves before it has its answer: nothing of it stays, and nobody computes on for it."""

import asyncio
import json
import threading

import pytest

from reformer.serving.app import make_app
from reformer.serving.completions import CompletionRequest
from reformer.serving.engine import Engine, Work
from reformer.serving.guard import Metrics
from reformer.serving.served_run import load_runs
from reformer.serving.spool import Spool
from reformer.serving.uploads import Limits
from tests.serving.conftest import train_runs
from tests.serving.inputs import TEXTS


async def leave(app, path, body, kind, *, at):
    """Ask, and go away when the server listens for it the given time: 1 before an answer, 2 as it begins."""
    listened, sent = 0, []

    async def receive():
        nonlocal listened
        listened += 1
        if listened == 1:
            return {"type": "http.request", "body": body, "more_body": False}
        if listened <= at:
            # Of a request that is not answered yet, and which this is cancelled by.
            await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": [(b"content-type", kind), (b"host", b"localhost")], "client": ("127.0.0.1", 1), "server": ("a", 1),
    }  # fmt: skip
    await app(scope, receive, send)
    return sent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return train_runs(tmp_path_factory.mktemp("served"), "entities", "writer")


@pytest.fixture
def app(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    computed = []
    runs = load_runs(
        [folder / "runs/entities", folder / "runs/writer"],
        lambda tokens: Engine(tokens, 64, lambda works, tokens, seconds: computed.append(works)),
    )
    with Spool() as spool:
        app = make_app(runs, Limits(1 << 20, 60.0), Metrics(), spool)
        app.runs, app.computed = runs, computed
        yield app
    for run in runs.values():
        run.engine.close()


@pytest.mark.parametrize("at", [1, 2], ids=["before an answer", "between the first answer and the stream"])
def test_its_body_is_removed(app, tmp_path, at):
    body = b"".join(json.dumps({"text": text}).encode() + b"\n" for text in TEXTS)
    asyncio.run(leave(app, "/runs/entities/predict", body, b"application/x-ndjson", at=at))
    [spool] = tmp_path.iterdir()
    assert not list(spool.iterdir())


def test_what_it_asked_to_be_generated_is_not(app):
    engine, go_on = app.runs["writer"].engine, threading.Event()
    engine.put(Work(0, 1, lambda batch: [go_on.wait(30)], alone=True))
    asked = CompletionRequest(model="writer", prompt="the ", max_tokens=20, n=4, stream=True)
    body = asked.model_dump_json(exclude_defaults=True).encode()
    sent = asyncio.run(leave(app, "/v1/completions", body, b"application/json", at=1))
    assert not [message for message in sent if message.get("body")]
    go_on.set()
    engine.close()
    assert app.computed == [1]
