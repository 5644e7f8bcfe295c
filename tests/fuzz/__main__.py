"""Many random inputs, in worker processes that may crash, hang or run out of memory without taking this one along."""

import argparse
import faulthandler
import gc
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_PATHS = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]

CORPUS = Path(__file__).with_name("corpus")
SECONDS = 10
"""Processor time of an input, at most."""
MEMORY = 2 << 30
"""Memory of a worker, at most, above what it has before the first input."""

WEIGHTS = {
    "documents": 25,
    "conversion": 6,
    "op": 22,
    "recipe": 12,
    "config": 10,
    "questions": 6,
    "series": 6,
    "images": 5,
    "texts": 3,
    "tokenizer": 3,
    "run": 1.5,
    "interrupted": 0.7,
    "state": 1.5,
    "archive": 1,
    "command": 0.5,
}
"""How often an input is for each target."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--only", help="the name of one target")
    parser.add_argument("--found", type=Path, help="a folder for the inputs that found something")
    parser.add_argument("--corpus", action="store_true", help="try the kept inputs, and no others")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker is not None:
        return work(arguments, *arguments.worker)
    return supervise(arguments)


# The worker.


def work(arguments: argparse.Namespace, folder: str, first: str, step: str) -> int:
    """Try every `step`-th input from `first` on. What is being tried stands in files that outlive a crash."""
    from tests.fuzz.targets import Targets, packed, tried_names, try_input

    assert set(tried_names()) == WEIGHTS.keys()
    warnings.simplefilter("ignore")
    place = Path(folder)
    # Paths stand in recipes: relative ones are the same in every run.
    os.chdir(tempfile.mkdtemp(dir=place))
    targets = Targets(Path())
    faulthandler.register(signal.SIGUSR1, (place / "stack").open("w"), all_threads=True)
    kept = sorted(CORPUS.glob("*")) if arguments.corpus else []
    total = len(kept) if arguments.corpus else arguments.inputs
    if not arguments.corpus:
        gc.freeze()
    limit = _virtual_memory() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for index in range(int(first), total, int(step)):
        if arguments.corpus:
            target, whole = kept[index].name.partition("-")[0], kept[index].read_bytes()
        else:
            pick = random.Random(f"{arguments.seed}/{index}")
            target = arguments.only or pick.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            whole = packed(*getattr(targets, f"make_{target}")(pick))
        (place / "input").write_bytes(whole)
        (place / "progress").write_text(f"{index} {target}")
        try:
            try_input(targets, target, whole)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            _report(place, index, target, whole, error)
        with (place / "counts").open("a") as counts:
            counts.write(f"{target}\n")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    (place / "peak").write_text(str(peak))
    return 0


def _virtual_memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _report(place: Path, index: int, target: str, whole: bytes, error: BaseException) -> None:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/src/reformer/" in frame.filename]
    last = ours[-1] if ours else frames[-1]
    kind = f"{target}: {type(error).__name__} at {'/'.join(Path(last.filename).parts[-3:])}:{last.lineno}"
    text = "".join(traceback.format_exception(error))[-6000:]
    with (place / "findings").open("a") as file:
        file.write(
            json.dumps({"index": index, "kind": kind, "target": target, "input": whole.hex(), "text": text}) + "\n"
        )


# The parent.


@dataclass
class Worker:
    """A worker process and its folder."""

    folder: Path
    first: int
    process: Any = None
    index: int = -1
    since: float = 0.0
    findings: list[dict[str, Any]] = field(default_factory=list)


def supervise(arguments: argparse.Namespace) -> int:
    """Start workers, restart those that end early, and report."""
    begun, workers = time.monotonic(), max(1, arguments.workers)
    with tempfile.TemporaryDirectory() as root:
        team = [Worker(Path(root) / str(number), number) for number in range(workers)]
        for worker in team:
            worker.folder.mkdir()
            _start(worker, worker.first, workers)
        running = list(team)
        while running:
            time.sleep(0.3)
            running = [worker for worker in running if not _has_ended(worker, workers, arguments)]
        findings = [json.loads(line) for worker in team for line in _lines(worker.folder / "findings")]
        findings += [each for worker in team for each in worker.findings]
        counts = Counter(name for worker in team for name in _lines(worker.folder / "counts"))
        peak = max(
            (int((worker.folder / "peak").read_text()) for worker in team if (worker.folder / "peak").exists()),
            default=0,
        )
    kinds = Counter(each["kind"] for each in findings)
    for kind, count in kinds.most_common():
        print(f"{count:6} x {kind}")
        first = next(each for each in findings if each["kind"] == kind)
        print("        " + first["text"].strip().replace("\n", "\n        ")[-1500:])
        if arguments.found is not None:
            arguments.found.mkdir(exist_ok=True, parents=True)
            for each in [each for each in findings if each["kind"] == kind][:2]:
                data = bytes.fromhex(each["input"])
                (arguments.found / f"{each['target']}-{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)
    tried = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
    print(f"tried {sum(counts.values()):,} ({tried}); findings {len(findings):,} of {len(kinds)} kinds")
    print(f"seed {arguments.seed}, {time.monotonic() - begun:.0f} s, peak memory of a worker {peak / 2**20:.0f} MiB")
    return 1 if findings else 0


def _start(worker: Worker, first: int, step: int) -> None:
    for leftover in worker.folder.iterdir():
        if leftover.is_dir():
            shutil.rmtree(leftover)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(str(Path(entry).resolve()) for entry in (*_PATHS, ".")),
        "HF_HUB_OFFLINE": "1",
        "TQDM_DISABLE": "1",
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(worker.folder),
        "REFORMER_CACHE": str(worker.folder / "cache"),
        "COLUMNS": "200",
    }
    command = [sys.executable, "-m", "tests.fuzz", *sys.argv[1:], "--worker", str(worker.folder), str(first), str(step)]
    with (worker.folder / "log").open("a") as log:
        worker.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    worker.index, worker.since = -1, time.monotonic()


def _has_ended(worker: Worker, step: int, arguments: argparse.Namespace) -> bool:
    status = worker.process.poll()
    place = worker.folder / "progress"
    told = place.read_text().split() if place.exists() else []
    index = int(told[0]) if told else -1
    if index != worker.index:
        worker.index, worker.since = index, _seconds(worker)
    if status == 0:
        return True
    hangs = status is None and index >= 0 and _seconds(worker) - worker.since > SECONDS
    if status is None and not hangs:
        return False
    if index < 0 or (status is not None and status > 0 and not told):
        raise SystemExit(f"a worker could not begin:\n{(worker.folder / 'log').read_text()[-3000:]}")
    text = (worker.folder / "log").read_text()[-1500:]
    if hangs:
        os.kill(worker.process.pid, signal.SIGUSR1)
        time.sleep(1)
        text = (worker.folder / "stack").read_text()[-3000:]
        worker.process.kill()
        worker.process.wait()
    kind = f"{told[1]}: over {SECONDS} s" if hangs else f"{told[1]}: the process ended with status {status}"
    whole = (worker.folder / "input").read_bytes()
    worker.findings.append({"index": index, "kind": kind, "target": told[1], "input": whole.hex(), "text": text})
    if len(worker.findings) > 200:
        raise SystemExit("too many crashes and hangs")
    place.unlink()
    _start(worker, index + step, step)
    return False


def _seconds(worker: Worker) -> float:
    """Processor time that the worker has used: a machine with other work is no hang."""
    try:
        fields = Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return worker.since


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


if __name__ == "__main__":
    sys.exit(main())
