"""Memory of `reformer serve` after load and after rough handling, round after round, against what it had before.

    python -m benchmarks.serving_memory RUN --clients 16 --documents 4 --rounds 3

Each round is many clients at once with documents of mixed length and a long one, and then clients that leave with half
a body, with all of it, and in the midst of their answers, and bodies above the limit. The figures are taken when the
server has had nothing to do for a while: anonymous memory, and pages of its libraries' files, which it reads once.
"""

import argparse
import json
import os
import re
import socket
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.serving import LONG, Server, documents, load, record
from reformer.files import write

QUIET = 3
"""Seconds without work of the server until memory is read."""


def memory(server: Server) -> dict[str, int]:
    """Resident bytes by their kind."""
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    return {
        name: 1024 * int(re.findall(rf"{field}:\s*(\d+)", status)[0])
        for name, field in (("anonymous", "RssAnon"), ("files", "RssFile"), ("peak", "VmHWM"))
    }


def wait_until_quiet(server: Server) -> None:
    """Return when the server's processor time has stood still for a while: what was left to it has been computed."""
    stat, last = Path(f"/proc/{server.process.pid}/stat"), -1
    while True:
        # Fields 14 and 15 in ticks; a server that waits uses some for its clock.
        now = sum(map(int, stat.read_text(encoding="ascii").rpartition(")")[2].split()[11:13]))
        if last >= 0 and now - last <= QUIET * os.sysconf("SC_CLK_TCK") // 50:
            return
        last = now
        time.sleep(QUIET)


def head(kind: str, *lines: str) -> bytes:
    return "\r\n".join(["POST /predict HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", *lines, "", ""]).encode()


def handle_roughly(port: int, texts: list[str]) -> None:
    """Clients that leave in every phase of a request, and bodies that are too large."""

    def leave(data: bytes, wait: float = 0.0, read: int = 0) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=600) as wire:
            wire.sendall(data)
            time.sleep(wait)
            if read:
                wire.recv(read)

    lines = b"".join(record(number, text) + b"\n" for number, text in enumerate(texts))
    for text in texts[:20]:
        body = record(0, text * 4)
        length = f"Content-Length: {len(body)}"
        leave(head("application/json", length) + body[: len(body) // 2])
        leave(head("application/json", length) + body, wait=0.05)
    for _ in range(4):
        leave(head("application/x-ndjson", f"Content-Length: {len(lines)}") + lines, read=100)
    chunk = b"%x\r\n" % (1 << 20) + bytes(1 << 20) + b"\r\n"
    for kind in ("text/plain", "application/json"):
        with socket.create_connection(("127.0.0.1", port), timeout=600) as wire:
            wire.sendall(head(kind, "Transfer-Encoding: chunked"))
            try:
                # The server reads to its limit of 64 MiB, answers and goes.
                for _ in range(256):
                    wire.sendall(chunk)
            except OSError:
                pass


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run of token classification")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--documents", type=int, default=4, help="of each client")
    parser.add_argument("--longest", type=int, default=20_000)
    parser.add_argument("--long", type=int, default=LONG, help="characters of the long document beside")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="write the figures as JSON here")
    given = parser.parse_args()
    texts = documents(given.clients * given.documents, 50, given.longest)
    [long] = documents(1, given.long, given.long)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(given.run, Path(folder) / "log")
        try:
            load(server.port, texts[:20], 4)
            wait_until_quiet(server)
            told = {"before": memory(server)}
            for number in range(1, given.rounds + 1):
                load(server.port, texts, given.clients, long)
                wait_until_quiet(server)
                told[f"after load {number}"] = memory(server)
                handle_roughly(server.port, texts)
                wait_until_quiet(server)
                told[f"after rough handling {number}"] = memory(server)
        finally:
            server.stop()
    figures = {**describe(len(os.sched_getaffinity(0)), "cpu"), "documents": len(texts), "memory": told}
    print(json.dumps(figures, indent=2))
    if given.output is not None:
        write(given.output, json.dumps(figures, indent=2).encode() + b"\n")


if __name__ == "__main__":
    main()
