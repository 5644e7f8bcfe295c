"""Rough handling: clients that go away, half-sent and huge bodies, a deleted run; the server lives and lets go."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.serving.browser.conftest import Server
from tests.serving.inputs import TEXTS


@pytest.fixture
def server(folder, tmp_path):
    shutil.copytree(folder / "runs/entities", tmp_path / "run")
    (tmp_path / "spool").mkdir()
    server = Server(tmp_path / "run", "--timeout", "5", log=tmp_path / "log", TMPDIR=str(tmp_path / "spool"))
    server.run = tmp_path / "run"
    yield server
    server.process.kill()
    server.process.wait()


def connect(server):
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=120)


def head(length, kind="application/json", path="/predict"):
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n".encode()
    )


def spools(server):
    """The folders in which bodies are kept."""
    return list((server.log.parent / "spool").glob("reformer-serve-*"))


def answered(server, text=TEXTS[0]):
    request = urllib.request.Request(
        f"{server.url}/predict", json.dumps({"text": text}).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def test_the_server_lives(server):
    assert answered(server)["spans"]
    before = server.memory()
    # A body that is announced as 1 GB is not even read, and one that does not say so is read to the limit.
    with connect(server) as wire:
        wire.sendall(head(1 << 30, "text/plain"))
        assert b" 413 " in wire.recv(4096)
    with connect(server) as wire:
        wire.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        chunk = b"%x\r\n" % (1 << 20) + bytes(1 << 20) + b"\r\n"
        sent = 0
        try:
            while sent < 1 << 30:
                wire.sendall(chunk)
                sent += 1 << 20
        except OSError:
            pass
        assert sent < 1 << 29
    # Half a body, and a client that goes away with all of it.
    with connect(server) as wire:
        wire.sendall(head(1000) + b'{"text": ')
        assert b" 408 " in wire.recv(4096)
    for _ in range(20):
        with connect(server) as wire:
            body = json.dumps({"text": TEXTS[2] * 300}).encode()
            wire.sendall(head(len(body)) + body)
    with connect(server) as wire:
        wire.sendall(head(4) + b"\xff\xfe{}")
        assert b" 422 " in wire.recv(4096)
    shutil.rmtree(server.run)
    assert answered(server)["spans"]
    end = time.monotonic() + 60
    while server.memory() > before + (64 << 20) and time.monotonic() < end:
        time.sleep(0.5)
    after = server.memory()
    print(f"resident: {before >> 20} MB before, {after >> 20} MB after")
    assert after < before + (64 << 20)
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "张伟" not in log
    [spool] = spools(server)
    assert not list(spool.iterdir())


@pytest.mark.parametrize("request_", [signal.SIGTERM, signal.SIGINT])
def test_what_is_under_way_is_finished(server, request_):
    with connect(server) as wire:
        body = json.dumps({"text": TEXTS[2] * 100}).encode()
        wire.sendall(head(len(body)) + body)
        time.sleep(0.05)
        server.process.send_signal(request_)
        data = b""
        while part := wire.recv(1 << 16):
            data += part
        assert data.startswith(b"HTTP/1.1 200")
    assert server.process.wait(60) == 0
    assert not spools(server)


def test_a_second_request_ends_it_at_once(server):
    with connect(server) as wire:
        # Many records, each as long as the model takes it: one that is too long is refused at once.
        body = (json.dumps({"text": TEXTS[2] * 20}).encode() + b"\n") * 2000
        wire.sendall(head(len(body), "application/x-ndjson") + body)
        time.sleep(1)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 130, server.log.read_text()
    assert "Traceback" not in server.log.read_text()
    assert not spools(server)


def test_what_a_killed_server_leaves_is_removed_by_the_next(server, tmp_path):
    with connect(server) as wire:
        wire.sendall(head(1000, "text/plain") + b"half")
        time.sleep(1)
        server.process.kill()
        server.process.wait()
    [left] = spools(server)
    assert list(left.iterdir())
    following = Server(server.run, log=tmp_path / "log", TMPDIR=str(left.parent))
    assert left not in spools(following)
    assert following.stop() == 0
    assert not spools(following)


def test_an_open_address_is_warned_of(folder, tmp_path):
    command = [sys.executable, "-m", "reformer", "serve", folder / "runs/entities", "--host", "0.0.0.0", "--port", "0"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stderr=log)
    end = time.monotonic() + 120
    while "no --token keeps them out" not in (tmp_path / "log").read_text():
        assert time.monotonic() < end
        time.sleep(0.2)
    process.terminate()
    process.wait(60)
