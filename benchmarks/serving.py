"""Load on `reformer serve`: many clients at once against `reformer predict` on the same documents in one file.

    python -m benchmarks.serving RUN --clients 64 --documents 50

Every answer is compared with that of `predict`, byte for byte. The documents of each client are shared out among the
turns. In each, the command reads those of all clients as one file, less the time that it takes to load, and then the
server is asked for them. Throughputs are medians over the turns. The latency of short documents is measured without a
long one and while a long one is under way.
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
from reformer.files import write

SHORT = 1000
"""Characters of a short document, at most."""
LONG = 200_000
TEXT = "王小明去了昌平区的新华社。李华在上海的人民日报社工作，张伟昨天从北京回来，很好满意。"


@dataclass(frozen=True)
class Answered:
    """One answer to a client."""

    number: int
    seconds: float
    end: float
    """By `time.perf_counter`."""
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
        end = time.perf_counter()
        answers.append(Answered(number, end - begun, end, response.status, body))
    connection.close()


def load(port: int, texts: list[str], clients: int, long: str | None = None) -> tuple[float, list[Answered]]:
    """The seconds for all documents, shared out among the clients, and their answers.

    With `long` beside them, whose answer is the last one: those that came while it was under way.
    """
    answers, last = list[Answered](), list[Answered]()
    shares = [list(enumerate(texts))[number::clients] for number in range(clients)]
    beside = threading.Thread(target=client, args=(port, [(len(texts), long or "")], last))
    begun = time.perf_counter()
    if long is not None:
        beside.start()
        time.sleep(0.05)
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda share: client(port, share, answers), shares))
    seconds = time.perf_counter() - begun
    if long is not None:
        beside.join()
        answers = [answer for answer in answers if answer.end <= last[0].end] + last
    return seconds, answers


def predict(run: Path, file: Path, output: Path) -> float:
    """The seconds of the command."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "reformer", "predict", str(run), str(file), "-o", str(output), "--overwrite"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begun


def one_turn(run: Path, server: Server, texts: list[str], clients: int, one: Path) -> dict[str, float]:
    """The seconds of the command and of the server for the same documents, and how many answers were not the same.

    Args:
        one: a file of one document, by which the command's time to load is known.
    """
    file, output = one.with_name("all.jsonl"), one.with_name("out.jsonl")
    file.write_bytes(b"".join(record(number, text) + b"\n" for number, text in enumerate(texts)))
    starting = predict(run, one, output)
    predicted = predict(run, file, output) - starting
    expected = output.read_bytes().splitlines(keepends=True)
    seconds, answers = load(server.port, texts, clients)
    return {
        "characters": sum(map(len, texts)),
        "predict_seconds": predicted,
        "serve_seconds": seconds,
        "failed": sum(answer.status != 200 for answer in answers),
        "other_answers": sum(answer.body != expected[answer.number] for answer in answers),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run of token classification")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--documents", type=int, default=50, help="of each client")
    parser.add_argument("--longest", type=int, default=20_000)
    parser.add_argument("--long", type=int, default=LONG, help="characters of the long document beside")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--output", type=Path, help="write the figures as JSON here")
    given = parser.parse_args()
    if not 1 <= given.turns <= given.documents:
        parser.error("--turns: expected at least one document of each client for each turn")
    machine = describe(len(os.sched_getaffinity(0)), "cpu")
    texts = documents(given.clients * given.documents, 50, given.longest)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one = folder / "one.jsonl"
        one.write_bytes(record(0, texts[0]) + b"\n")
        server = Server(given.run, folder / "log")
        try:
            load(server.port, texts[:20], 4)
            before = server.memory()
            turns = []
            for number in range(given.turns):
                turns.append(one_turn(given.run, server, texts[number :: given.turns], given.clients, one))
                told = ", ".join(f"{name} {value:.4g}" for name, value in turns[-1].items())
                print(f"turn {number + 1} of {given.turns}: {told}", file=sys.stderr, flush=True)
            short = [text for text in texts if len(text) <= SHORT]
            few = min(given.clients, 8)
            _, plain = load(server.port, short, few)
            [long] = documents(1, given.long, given.long)
            _, beside = load(server.port, short, few, long)
            time.sleep(5)
            after = server.memory()
        finally:
            server.stop()
    medians = [statistics.median(answer.seconds for answer in answers) for answers in (plain, beside[:-1])]
    rates = {
        way: statistics.median(turn["characters"] / turn[f"{way}_seconds"] for turn in turns)
        for way in ("predict", "serve")
    }
    figures = {
        **machine,
        "documents": len(texts),
        "clients": given.clients,
        "characters": sum(map(len, texts)),
        "failed": sum(turn["failed"] for turn in turns),
        "other_answers": sum(turn["other_answers"] for turn in turns),
        "predict_characters_per_second": rates["predict"],
        "serve_characters_per_second": rates["serve"],
        "throughput_ratio": statistics.median(turn["predict_seconds"] / turn["serve_seconds"] for turn in turns),
        "turns": turns,
        "short_documents": len(plain),
        "short_documents_beside_long": len(beside) - 1,
        "long_seconds": beside[-1].seconds,
        "short_median_seconds": medians[0],
        "short_median_seconds_beside_long": medians[1],
        "latency_ratio": medians[1] / medians[0],
        "memory_before": before,
        "memory_after": after,
    }
    print(json.dumps(figures, indent=2))
    if given.output is not None:
        write(given.output, json.dumps(figures, indent=2).encode() + b"\n")


if __name__ == "__main__":
    main()
