"""Commands run in processes of their own that have imported everything already, with a fault in each."""

import hashlib
import json
import os
import re
import resource
import shutil
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from reformer.runs.folder import MARKER
from tests.faults import disk

LONGEST, MOST_MEMORY = 120, 12 << 30
"""The seconds and the bytes of address space that a command may take."""

REQUESTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Requests to stop; before a command has begun to listen, they end it as they end any process."""

Tree = dict[str, str]
"""The digest of each file in a folder, by its path."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Command that writes, in a folder of its own.

    Args:
        name: for the report.
        command: what is run there.
        inputs: for each name in the folder, the prepared file or folder that is there when it begins.
        resume: what goes on after an end in the middle; the command itself where this is None.
        steps: whether it trains, step by step.
    """

    name: str
    command: tuple[str, ...]
    inputs: Mapping[str, str]
    resume: tuple[str, ...] | None = None
    steps: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """Fault of one process: at the n-th change of the disk, at a step of training, or after some seconds.

    Args:
        request: the signal that comes after the seconds.
        closed: whether nobody reads what the process prints.
    """

    action: disk.Action = disk.Action.NOTHING
    number: int = 0
    code: int = 0
    step: int = 0
    seconds: float | None = None
    request: signal.Signals = signal.SIGKILL
    closed: bool = False

    def __str__(self) -> str:
        if self.seconds is not None:
            return f"{self.request.name} after {self.seconds:.3f} s"
        if self.closed:
            return "nobody reads"
        if self.step:
            return f"killed at step {self.step}"
        return f"{self.action.name} at {self.number}{f' ({os.strerror(self.code)})' if self.code else ''}"


NO_FAULT = Fault()


@dataclass(frozen=True, slots=True)
class Outcome:
    """End of a command: its status, negative for a signal, what it printed, its changes of the disk, its duration."""

    status: int
    printed: str
    errors: str
    changes: int
    seconds: float
    unheard: bool = False

    def complaint(self) -> str | None:
        """What is wrong with the way in which the command has ended; None for an end that users can bear."""
        for sign in ("Traceback", "Exception ignored", "Exception in thread"):
            if sign in self.errors + self.printed:
                return f"a traceback: {' | '.join(self.errors.strip().splitlines()[-3:])}"
        # Ctrl-C, and a pipe that its reader has closed, need no word.
        if self.status > 0 and self.status != 128 + signal.SIGINT and not self.errors.strip() and not self.unheard:
            return f"status {self.status} without a word"
        return f"ended by signal {-self.status}" if self.status < 0 and -self.status not in REQUESTS else None


def run(world: Path, command: Iterable[str], fault: Fault = NO_FAULT, records: Path | None = None) -> Outcome:
    """Run a command in the folder `world`, with a fault in it; with `records`, its changes are recorded there."""
    said = world.with_name(f"{world.name}.said")
    said.mkdir(exist_ok=True)
    # Here, because a process may be killed before its first line.
    for name in ("out", "err"):
        (said / name).touch()
    begun = time.perf_counter()
    process = _fork(lambda: _work(world, tuple(command), fault, said, records))
    if fault.seconds is not None and fault.request == signal.SIGKILL:
        # The process cannot be another one of that number: it is waited for only after this.
        threading.Event().wait(fault.seconds)
        os.kill(process, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    seconds = time.perf_counter() - begun
    out, errors = ((said / name).read_text(encoding="utf-8", errors="replace") for name in ("out", "err"))
    counted = said / "count"
    # Empty of a process that was killed while it wrote this.
    changes = int(counted.read_text() or 0) if counted.exists() else 0
    shutil.rmtree(said)
    return Outcome(status, out, errors, changes, seconds, fault.closed)


def _fork(work: Callable[[], int]) -> int:
    with warnings.catch_warnings():
        # Other threads are not in the new process; with one thread to compute with, it needs none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process:
        return process
    try:
        status = work()
    except BaseException:
        traceback.print_exc()
        status = 99
    os._exit(status)


def _work(world: Path, command: tuple[str, ...], fault: Fault, said: Path, records: Path | None) -> int:
    import sys

    from reformer.cli import main
    from reformer.training import trainer
    from reformer.training.trainer import CountingTrainer

    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(said / name, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), descriptor)
    if fault.closed:
        read, written = os.pipe()
        os.close(read)
        os.dup2(written, 1)
    os.chdir(world)
    sys.argv = ["reformer", *command]
    signal.alarm(LONGEST)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    # As in a terminal; a process in the background may be told to ignore these.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if fault.step:
        training_step, steps = CountingTrainer.training_step, iter(range(1, fault.step + 1))

        def counted(*arguments, **options):
            if next(steps) == fault.step:
                os.kill(os.getpid(), signal.SIGKILL)
            return training_step(*arguments, **options)

        CountingTrainer.training_step = counted
    if records is not None:
        publish = trainer.publish

        def marked(fresh: Path, folder: Path) -> Path:
            whole = publish(fresh, folder)
            disk.mark(whole.name.rpartition("-")[2])
            return whole

        trainer.publish = marked
        disk.arm(world, disk.Action.RECORD, records=os.open(records, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600))
    else:
        disk.arm(world, fault.action, fault.number, fault.code)
    if fault.request != signal.SIGKILL:
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), fault.request))
        # Not before the command: it is the command's answer that counts.
        signal.setitimer(signal.ITIMER_REAL, 0.01 + (fault.seconds or 0))
    try:
        main()
        status = 0
        signal.alarm(0)
    except SystemExit as end:
        signal.alarm(0)
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        status = 1
    finally:
        # As at the end of a process of its own, where a closed pipe is no error.
        with suppress(BrokenPipeError):
            sys.stdout.flush()
        sys.stderr.flush()
        (said / "count").write_text(str(disk.count()))
    return status


@contextmanager
def world(workload: Workload, parts: Path, place: Path) -> Iterator[Path]:
    """A folder with the workload's inputs, and a file that nobody may touch; it is gone when the block ends."""
    place.mkdir()
    try:
        for name, part in workload.inputs.items():
            if (parts / part).is_dir():
                shutil.copytree(parts / part, place / name)
            else:
                shutil.copy2(parts / part, place / name)
        (place / "dear.txt").write_text("dear", encoding="utf-8")
        yield place
    finally:
        shutil.rmtree(place)


def tree(folder: Path) -> Tree:
    """The files of a folder; what differs between two runs of one command counts as equal."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            # Of the log nothing is promised, and its file does not count.
            if path.name != "logs" and not any(path.iterdir()):
                found[f"{name}/"] = "empty folder"
        elif not path.name.startswith("events.out.tfevents"):
            digest = _digest(path)
            # The names of the cache depend on where its source lies.
            found[re.sub(r"(?<=cache/tokens/)[0-9a-f]{24}(?=\.)", digest, name)] = digest
    return found


def _digest(path: Path) -> str:
    # An adapter's configuration names its base by the whole path.
    content = path.read_bytes()
    if path.suffix == ".json":
        content = re.sub(rb'"[^"]*/(?:world-[0-9]+|undisturbed)(?=/)', b'"', content)
    if path.suffix == ".safetensors":
        # The header's entries come in any order.
        end = 8 + int.from_bytes(content[:8], "little")
        # A damaged one counts as it is.
        with suppress(ValueError):
            content = json.dumps(json.loads(content[8:end]), sort_keys=True).encode() + content[end:]
    if path.name == "metrics.json" and content.startswith(b"{"):
        with suppress(ValueError):
            metrics = json.loads(content)
            for name in ("minutes", "whole_minutes", "tokens_per_second"):
                metrics.get("training", {}).pop(name, None)
            metrics.get("baseline", {}).pop("seconds", None)
            content = json.dumps(metrics).encode()
    if path.name == "report.html":
        # The name of the run, and its learning curve.
        content = re.sub(rb"<title>.*?</h1>|base64,[^\"]*", b"", content, flags=re.DOTALL)
    if path.name == "README.md":
        # The name of the run.
        content = re.sub(rb"(?m)^(model_name:|# |reformer |run = ).*$", b"", content)
    if path.name == "learning_curve.png":
        # Against minutes, which differ.
        content = content[:8] + content[-8:]
    return hashlib.sha256(content).hexdigest()[:16]


def differences(expected: Tree, found: Tree) -> list[str]:
    """What is missing, left over or other than expected."""
    return [
        f"{name} {'missing' if name not in found else 'left over' if name not in expected else 'differs'}"
        for name in sorted({*expected, *found})
        if expected.get(name) != found.get(name)
    ]


def lost(before: Tree, found: Tree, end: Tree) -> list[str]:
    """What was there before, and is neither there any more, by its own name anywhere, nor replaced by the right end."""
    there = {(Path(name).name, digest) for name, digest in found.items()}
    return [
        f"{name} lost"
        for name, digest in before.items()
        # The marker is written anew when a run is moved aside.
        if Path(name).name != MARKER
        and (Path(name).name, digest) not in there
        and not (name in end and found.get(name) == end[name])
    ]


def go_on(place: Path, workload: Workload, end: Tree, fault: Fault = NO_FAULT) -> Outcome:
    """Give the next command after an end in the middle, as the user would who reads what it says."""
    outcome = run(place, workload.resume or workload.command, fault)
    refused = outcome.status > 0 and re.search(
        "train without --resume|this run is finished|this exists already", outcome.errors
    )
    if workload.resume is None or not refused or not differences(end, tree(place)):
        return replace(outcome, status=0) if refused else outcome
    return run(place, workload.command, fault)
