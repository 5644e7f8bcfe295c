"""Trials of the workloads: a fault, then the next command, then the comparison with the undisturbed end."""

import errno
import random
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.faults.commands import REQUESTS, Fault, Tree, Workload, differences, go_on, lost, run, tree, world
from tests.faults.disk import Action, Kind, read_changes
from tests.faults.power_failure import Disk

NEVER = 1 << 40

WAYS: dict[int, tuple[float | None, float | None]] = {0: (0, 0), 1: (1, 0), 2: (None, None)}
"""Of the unsynced names and data, what a power failure leaves: nothing; all names without data; any of both."""


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """Workload as it runs without a fault, to compare with: files before and after, and what it did meanwhile."""

    workload: Workload
    before: Tree
    end: Tree
    changes: int
    reads: int
    seconds: float
    record: Path
    root: str
    """Where it ran when its changes were recorded."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Faults for one workload: one after the other, each in the command that goes on after the one before."""

    kind: str
    workload: str
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        return f"{self.workload}: {', then '.join(map(str, self.faults)) or 'misuse'}"


@dataclass(frozen=True, slots=True)
class Result:
    """How many faults of a trial have happened, and what was wrong after them."""

    trial: Trial
    happened: int
    problems: tuple[str, ...]


def undisturbed(workload: Workload, parts: Path, scratch: Path) -> Undisturbed:
    """Run a workload without a fault, and check that its record is complete.

    Raises:
        RuntimeError: it fails, or something was written past the layer that records.
    """
    place, record = scratch / "undisturbed", scratch / f"{workload.name}.record"
    with world(workload, parts, place):
        reads = run(place, workload.command, Fault(Action.FAIL_READ, NEVER)).changes
    with world(workload, parts, place):
        before, replayed = tree(place), Disk(place, str(place))
        # A number that is never reached: all are counted.
        outcome = run(place, workload.command, Fault(Action.KILL, NEVER))
        end = tree(place)
    with world(workload, parts, place):
        recorded = run(place, workload.command, records=record)
        for change in read_changes(record):
            replayed.apply(change)
        replayed.write_now(place)
        problems = [outcome.complaint(), recorded.complaint(), *differences(end, tree(place))]
        if outcome.status or recorded.status or any(problems):
            raise RuntimeError(f"{workload.name}: {problems} {outcome.errors} {recorded.errors}")
    return Undisturbed(workload, before, end, outcome.changes, reads, outcome.seconds, record, str(place))


def kills(known: Mapping[str, Undisturbed], number: int, pick: random.Random) -> list[Trial]:
    """More than so many kills, a third at a change of the disk, the rest at a step or by the clock; up to three in a
    row. A kill that comes after the end of its command has not happened."""
    trials: list[Trial] = []
    names = list(known)
    while sum(len(trial.faults) for trial in trials) < number * 1.3:
        name = names[len(trials) % len(names)]
        faults = tuple(_kill(known[name], pick) for _ in range(pick.choice((1, 1, 2, 3))))
        trials.append(Trial("kill", name, faults))
    return trials


def _kill(of: Undisturbed, pick: random.Random) -> Fault:
    how = pick.choice(("change", "clock", "step" if of.workload.steps else "clock"))
    if how == "change":
        return Fault(Action.KILL, pick.randint(1, of.changes))
    if how == "step":
        return Fault(step=pick.randint(1, 6))
    return Fault(seconds=pick.uniform(0, of.seconds))


def disk_errors(known: Mapping[str, Undisturbed], most: Mapping[str, int], pick: random.Random) -> list[Trial]:
    """The disk full from a change on, an input/output error at one, and at a read: at most so many of each."""
    return [
        Trial(kind, name, (Fault(action, number, code),))
        for name, of in known.items()
        for kind, count, action, code in (
            ("disk full", of.changes, Action.FULL, errno.ENOSPC),
            ("write error", of.changes, Action.FAIL, errno.EIO),
            ("read error", of.reads, Action.FAIL_READ, errno.EIO),
        )
        for number in _some(range(1, count + 1), most[name], pick)
    ]


def requests(known: Mapping[str, Undisturbed], most: int, pick: random.Random) -> list[Trial]:
    """Ctrl-C and requests to stop, at any time, and commands whose output nobody reads."""
    faults = [
        (name, Fault(seconds=pick.uniform(0, of.seconds), request=request))
        for name, of in known.items()
        for request in REQUESTS
        for _ in range(most // len(REQUESTS))
    ]
    faults += [(name, Fault(closed=True)) for name in known]
    return [Trial("request to stop", name, (fault,)) for name, fault in faults]


def misuse(use: Workload, parts: Path, place: Path) -> Result:
    """Carry out a misuse: it ends in time and without a traceback, names what was given, and loses nothing."""
    with world(use, parts, place):
        before = tree(place)
        outcome = run(place, use.command)
        found = tree(place)
        problems = lost(before, found, {})
        problems += [f"ends with {outcome.complaint()}"] if outcome.complaint() else []
    return Result(Trial("misuse", " ".join(map(ascii, use.command))[:200], ()), 1, tuple(problems))


def power_failures(known: Mapping[str, Undisturbed], most: Mapping[str, int], pick: random.Random) -> list[Trial]:
    """Moments between two changes, at most so many, in each of the ways in which a disk may be left, and the ends."""
    trials = []
    for name, of in known.items():
        moments = range(sum(change.kind != Kind.MARK for change in read_changes(of.record)) + 1)
        faults = [
            Fault(Action.RECORD, moment, way)
            for moment in _some(moments, most[name] // len(WAYS) + 1, pick)
            for way in WAYS
        ]
        trials += [Trial("power failure", name, (fault,)) for fault in faults]
    return trials


def _some(numbers: range, most: int, pick: random.Random) -> list[int]:
    return sorted({*pick.sample(numbers, min(most, len(numbers)) - 1), numbers[-1]})


def disturb(trial: Trial, of: Undisturbed, parts: Path, place: Path) -> Result:
    """Carry out a trial."""
    problems: list[str] = []
    happened, status = 0, 1
    allowed: set[str] = set()
    with world(of.workload, parts, place):
        for number, fault in enumerate(trial.faults):
            if trial.kind == "power failure":
                ended, problems = _power_failure(place, of, fault)
                happened, status = 1, 0 if ended else 1
            else:
                outcome = (
                    run(place, of.workload.command, fault) if number == 0 else go_on(place, of.workload, of.end, fault)
                )
                status = outcome.status
                happened += status == -signal.SIGKILL or trial.kind != "kill"
                if trial.kind != "kill":
                    # What was answered before an error is kept, and said.
                    allowed |= {name for name in tree(place) if ".partial" in name and name in outcome.errors}
                    problems += [f"ends with {outcome.complaint()}"] if outcome.complaint() else []
            # A file that cannot be read is left out of the answers, as any record, and the command says so.
            if trial.kind == "power failure" or "left out, for the reasons above" not in outcome.errors:
                problems += lost(of.before, tree(place), of.end)
            if status == 0:
                break
        # Also after an end without an error: what could not be removed, the next start removes.
        if status != 0 or (trial.kind != "power failure" and differences(of.end, tree(place))):
            outcome = go_on(place, of.workload, of.end)
            if outcome.status or outcome.complaint():
                problems.append(f"does not go on: {outcome.status} {outcome.errors.strip()[-600:]}")
        found = {name: digest for name, digest in tree(place).items() if name not in allowed}
        problems += differences(of.end, found)
    return Result(trial, happened, tuple(problems))


def _power_failure(place: Path, of: Undisturbed, fault: Fault) -> tuple[bool, list[str]]:
    """Leave the folder as a power failure does; returns whether the command had ended before, and what is lost."""
    disk, promised, applied, ended = Disk(place, of.root), 0, 0, True
    for change in read_changes(of.record):
        if change.kind == Kind.MARK:
            promised = int(change.path)
        elif applied == fault.number:
            ended = False
            break
        else:
            disk.apply(change)
            applied += 1
    names, data = WAYS[fault.code]
    disk.write_after_failure(place, random.Random(fault.number), names=names, data=data)
    kept = [int(path.name.rpartition("-")[2]) for path in place.glob("run/checkpoints/checkpoint-*")]
    if promised and not (place / "run/metrics.json").exists() and max(kept, default=0) < promised:
        return ended, [f"the checkpoint of step {promised} lost, {sorted(kept)} there"]
    return ended, []
