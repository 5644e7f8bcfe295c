"""Load on `reformer serve`: many clients at once against `reformer predict` on the same documents in one file.

    python -m benchmarks.serving RUN --clients 64 --documents 50

Every answer is compared with that of `predict`, byte for byte. The server and the command are measured in turns, each
less the time that it takes to load. Then the latency of short documents is measured, with one long document among them
and without.
"""

import argparse
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from benchmarks.machine import describe

SHORT = 1000
"""Characters of a short document, at most."""
LONG = 200_000
TEXT = "王小明去了昌平区的新华社。李华在上海的人民日报社工作，张伟昨天从北京回来，很好满意。"


@dataclass(frozen=True)
class Answered:
    """One answer to a client."""

    number: int
    characters: int
    seconds: float
    status: int
    body: bytes


def documents(count: int, shortest: int, longest: int, seed: int = 0) -> list[str]:
    """Texts whose lengths are spread evenly over the orders of magnitude."""
    pick = random.Random(seed)
    texts = []
    for _ in range(count):
        length = round(shortest * (longest / shortest) ** pick.random())
        start = pick.randrange(len(TEXT))
        texts.append((TEXT[start:] + TEXT * (length // len(TEXT) + 1))[:length])
    return texts


def record(number: int, text: str) -> bytes:
    return json.dumps({"id": f"d{number}", "text": text}, ensure_ascii=False).encode()


class Server:
    """`reformer serve` on a free port."""

    def __init__(self, run: Path, log: Path) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port: int = found.getsockname()[1]
        command = [sys.executable, "-m", "reformer", "serve", str(run), "--port", str(self.port), "--timeout", "3600"]
        with log.open("w") as file:
            self.process = subprocess.Popen(command, stderr=file)
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port)):
                    return
            except OSError:
                if self.process.poll() is not None:
                    sys.exit(log.read_text())
                time.sleep(0.1)

    def memory(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return 1024 * int(re.findall(r"VmRSS:\s*(\d+)", status)[0])

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def client(port: int, numbered: list[tuple[int, str]], answers: list[Answered]) -> None:
    """Ask for one document after the other on one connection."""
    connection = HTTPConnection("127.0.0.1", port, timeout=3600)
    for number, text in numbered:
        begun = time.perf_counter()
        connection.request("POST", "/predict", record(number, text), {"Content-Type": "application/json"})
        response = connection.getresponse()
        body = response.read()
        answers.append(Answered(number, len(text), time.perf_counter() - begun, response.status, body))
    connection.close()


def load(port: int, texts: list[str], clients: int, long: str | None = None) -> tuple[float, list[Answered]]:
    """The seconds for all documents, shared out among the clients, and their answers; `long` is asked for beside."""
    answers: list[Answered] = []
    shares = [list(enumerate(texts))[number::clients] for number in range(clients)]
    beside = threading.Thread(target=client, args=(port, [(len(texts), long or "")], []))
    begun = time.perf_counter()
    if long is not None:
        beside.start()
        time.sleep(0.05)
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda share: client(port, share, answers), shares))
    seconds = time.perf_counter() - begun
    if long is not None:
        beside.join()
    return seconds, answers


def predict(run: Path, file: Path, output: Path) -> float:
    """The seconds of the command."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "reformer", "predict", str(run), str(file), "-o", str(output), "--overwrite"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run of token classification")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--documents", type=int, default=50, help="of each client")
    parser.add_argument("--longest", type=int, default=20_000)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--output", type=Path, help="write the figures as JSON here")
    given = parser.parse_args()
    machine = describe(len(os.sched_getaffinity(0)), "cpu")
    texts = documents(given.clients * given.documents, 50, given.longest)
    characters = sum(map(len, texts))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, one = folder / "all.jsonl", folder / "one.jsonl"
        file.write_bytes(b"".join(record(number, text) + b"\n" for number, text in enumerate(texts)))
        one.write_bytes(record(0, texts[0]) + b"\n")
        server = Server(given.run, folder / "log")
        try:
            load(server.port, texts[:20], 4)
            before = server.memory()
            served, told, wrong, failed = [], [], 0, 0
            for _ in range(given.turns):
                starting = predict(given.run, one, folder / "out.jsonl")
                told.append(predict(given.run, file, folder / "out.jsonl") - starting)
                expected = (folder / "out.jsonl").read_bytes().splitlines(keepends=True)
                seconds, answers = load(server.port, texts, given.clients)
                served.append(seconds)
                failed += sum(answer.status != 200 for answer in answers)
                wrong += sum(answer.body != expected[answer.number] for answer in answers)
            short = [text for text in texts if len(text) <= SHORT]
            _, plain = load(server.port, short, min(given.clients, 8))
            [long] = documents(1, LONG, LONG)
            _, beside = load(server.port, short, min(given.clients, 8), long)
            time.sleep(5)
            after = server.memory()
        finally:
            server.stop()
    medians = [statistics.median(answer.seconds for answer in answers) for answers in (plain, beside)]
    figures = {
        **machine,
        "documents": len(texts),
        "characters": characters,
        "failed": failed,
        "other_answers": wrong,
        "predict_characters_per_second": characters / statistics.median(told),
        "serve_characters_per_second": characters / statistics.median(served),
        "throughput_ratio": statistics.median(told) / statistics.median(served),
        "short_median_seconds": medians[0],
        "short_median_seconds_beside_long": medians[1],
        "latency_ratio": medians[1] / medians[0],
        "memory_before": before,
        "memory_after": after,
    }
    print(json.dumps(figures, indent=2))
    if given.output is not None:
        given.output.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
