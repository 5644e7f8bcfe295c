"""`reformer predict --engine ray` beside one worker with one thread: throughput, and what a killed worker costs.

    python -m benchmarks.ray_predict RUN --documents 10000 --workers 2

The documents are answered by `reformer predict` with one thread, by one worker on Ray, by several, and by several of
which one is killed (SIGKILL) half way. Every output is compared with the first, byte for byte. Throughput is measured
from the tenth part of the answers to the last, as they are written, so that nothing counts that is done once.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.machine import describe
from benchmarks.serving import TEXT
from reformer.files import write

WARM = 0.1
"""The share of the answers that are written before time is taken."""


def write_documents(path: Path, count: int, longest: int) -> int:
    """Texts of 5 to `longest` characters as JSONL; gives their characters."""
    pick = random.Random(0)
    texts = [(TEXT * (longest // len(TEXT) + 1))[: pick.randint(5, longest)] for _ in range(count)]
    lines = (json.dumps({"id": f"d{number}", "text": text}, ensure_ascii=False) for number, text in enumerate(texts))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return sum(map(len, texts))


def workers_of(command: int) -> list[int]:
    """The processes of a command that answer on Ray."""
    found = []
    for process in psutil.Process(command).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            found += [process.pid] if any("MapWorker" in part for part in process.cmdline()) else []
    return found


def predict(run: Path, file: Path, output: Path, count: int, *options: str, kill: bool = False) -> dict[str, Any]:
    """Predict in a process of its own; its seconds, documents a second, and whether a worker was killed."""
    command = [sys.executable, "-m", "reformer", "predict", str(run), str(file), "-o", str(output), *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    journal = output.with_name(f"{output.name}.partial.journal")
    begun, warm, killed = time.perf_counter(), None, None
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    while process.poll() is None:
        with suppress(OSError):
            # Two lines are not of answers.
            answered = journal.read_bytes().count(b"\n") - 2
            if answered >= WARM * count and warm is None:
                warm = time.perf_counter(), answered
            if kill and killed is None and answered >= count // 2:
                killed = workers_of(process.pid)[0]
                os.kill(killed, signal.SIGKILL)
            if answered >= count:
                end = time.perf_counter()
                break
        time.sleep(0.02)
    else:
        end = time.perf_counter()
    told = process.communicate()[1]
    if process.returncode:
        sys.exit(told)
    assert warm is not None, "all answers came at once; give more documents"
    return {
        "seconds": round(time.perf_counter() - begun, 2),
        "documents_per_second": round((count - warm[1]) / (end - warm[0]), 1),
        **({"killed": killed is not None, "said": "begun again" in told} if kill else {}),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run that labels or classifies texts")
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--longest", type=int, default=200, help="characters of a document")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path, help="write the figures as JSON here")
    given = parser.parse_args()
    ray = ("--engine", "ray", "--workers")
    ways: dict[str, tuple[str, ...]] = {
        "predict": (),
        "one worker": (*ray, "1"),
        "several workers": (*ray, str(given.workers)),
        "one killed": (*ray, str(given.workers)),
    }
    figures: dict[str, Any] = {**describe(1, "cpu"), "documents": given.documents, "workers": given.workers}
    figures["versions"]["ray"] = version("ray")
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "documents.jsonl")
        figures["characters"] = write_documents(file, given.documents, given.longest)
        for way, options in ways.items():
            output = Path(name, f"{way}.jsonl")
            found = predict(given.run, file, output, given.documents, *options, kill=way == "one killed")
            found["equal"] = output.read_bytes() == Path(name, "predict.jsonl").read_bytes()
            print(f"{way}: {found}", file=sys.stderr, flush=True)
            figures[way] = found
    for base in ("predict", "one worker"):
        rates = [figures[way]["documents_per_second"] for way in ("several workers", base)]
        figures[f"throughput_ratio_to_{base.replace(' ', '_')}"] = round(rates[0] / rates[1], 3)
    print(json.dumps(figures, indent=2))
    if given.output is not None:
        write(given.output, json.dumps(figures, indent=2).encode() + b"\n")


if __name__ == "__main__":
    main()
