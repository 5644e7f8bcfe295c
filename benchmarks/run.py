"""`python -m benchmarks.run CASE...`: check the contract, measure in turns, write JSON, print tables."""

import argparse
import math
import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from rich.console import Console

from benchmarks import machine, results, table
from benchmarks.case import Case, Contender
from benchmarks.foresight import MOST_SECONDS, refusal
from benchmarks.registry import CASES
from benchmarks.turns import Effort, OutOfTimeError, Row, Workshop
from benchmarks.worker import Settings
from reformer.errors import ReformerError

DRAFTS = machine.ROOT / "build" / "benchmarks"
"""Where results go that are not a whole case's: they must not take the place of those in the documentation."""

QUICK = Effort(turns=3, seconds=2.0)

INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    given = parser.parse_args(arguments)
    if "translation" in given.cases and (given.pairs is None or not given.pairs.is_file()):
        parser.error(
            f"translation: --pairs {given.pairs} is no file; give the TSV that `python -m benchmarks.help_pairs` writes"
        )
    console = Console(width=None if sys.stdout.isatty() else 160)
    begun, sound = time.perf_counter(), True
    ends = time.monotonic() + 60 * given.minutes
    cases = _cases(given)
    # Described once, because the load before is not that of the cases measured first.
    described = cache(partial(machine.describe, given.threads or os.cpu_count() or 1))
    try:
        for case in cases:
            device = machine.device_for(case, given.device)
            sound &= _run(case, given, described(device) | {"command": _command(arguments)}, device, ends, console)
    except ReformerError as error:
        print(error, file=sys.stderr)
        return 2
    except (KeyboardInterrupt, OutOfTimeError):
        return INTERRUPTED
    console.print(f"{len(cases)} cases in {(time.perf_counter() - begun) / 60:.1f} minutes")
    return 0 if sound else 1


def _run(
    case: Case, given: argparse.Namespace, described: results.Result, device: str, ends: float, console: Console
) -> bool:
    """One case into its file; whether nothing failed.

    Raises:
        ReformerError: it cannot be measured beside what an interrupted run has left.
    """
    folder = given.output or (results.FOLDER if _is_whole(given) else DRAFTS)
    header = {"case": case.name, "question": case.question, "axis": case.axis, "actions": list(case.actions)}
    file = results.ResultFile(folder, header | {"machine": described})
    if given.resume:
        file.resume()
    tiles = folder / "triton-tiles.json" if device.startswith("cuda") else None
    workshop = Workshop(Settings(described["threads"], device, given.pairs, tiles))
    run = _Measuring(case, workshop, file, _effort(case, given, ends), console)
    try:
        sound = run.measure(given.lengths or (case.quick_lengths if given.quick else case.lengths), given.only)
    except (KeyboardInterrupt, OutOfTimeError):
        table.print_result(file.result, console)
        console.print(f"stopped; what was measured is in {file.partial}, --resume goes on from there", style="red")
        raise
    written = file.finish()
    table.print_result(file.result, console)
    if written:
        console.print(f"written to {file.path}")
    return sound


@dataclass(frozen=True)
class _Measuring:
    """One case in progress."""

    case: Case
    workshop: Workshop
    file: results.ResultFile
    effort: Effort
    console: Console

    def measure(self, lengths: Sequence[int], families: list[str] | None) -> bool:
        """Check contracts, then measure whoever keeps theirs; whether nothing failed."""
        case = self.case
        chosen = [each for each in case.contenders if families is None or each.family in (*families, "machine")]
        chosen = [each for each in chosen if not case.actions or any(self._left(each, length) for length in lengths)]
        if case.requires and chosen:
            required = CASES[case.requires]
            holds = [self._check(required, each) for each in required.contenders]
            if not all(holds):
                self.console.print(f"{case.name}: not measured, because {required.name} does not hold", style="red")
                return False
        keeping = [each for each in chosen if self._check(case, each)]
        sound = len(keeping) == len(chosen)
        for length in lengths if case.actions else []:
            wanted = {each.name: self._left(each, length) for each in keeping}
            wanted = {name: actions for name, actions in wanted.items() if actions}
            for together in [{name: wanted[name]} for name in wanted] if case.apart else [wanted]:
                sound &= self._measure_together(together, length)
        if not case.actions and sound:
            self.file.write()
        return sound

    def _left(self, contender: Contender, length: int) -> list[str]:
        """The actions that are still to be measured at a length."""
        return [
            action
            for action in self.case.actions
            if contender.reaches(length, action) and not self.file.has(contender.name, length, action)
        ]

    def _measure_together(self, wanted: dict[str, list[str]], length: int) -> bool:
        """Some contenders in turns at one length into the file, or why an action is not run; whether nothing failed."""
        if self.case.apart and self.case.grows:
            wanted = {
                name: [each for each in actions if self._fits(name, length, each)] for name, actions in wanted.items()
            }
        wanted = {name: actions for name, actions in wanted.items() if actions}
        sound = True
        for row in self.workshop.measure(self.case, wanted, length, self.effort):
            record = row.record()
            self.file.add(record)
            sound &= row.error is None
            what = f"{table.short(length):>5} {row.action:17} {row.contender.name:32}"
            told = "failed" if row.error is not None else table.duration(record["median_seconds"])
            self.console.print(f"{self.case.name}: {what} {told}", style=None if row.error is None else "red")
        return sound

    def _fits(self, name: str, length: int, action: str) -> bool:
        """Whether an action can be expected to end; the reason why not goes into the file."""
        described = self.file.result["machine"]
        most = described.get("card_memory_bytes", described["memory_bytes"])
        # Who gives a call more time than that wants it.
        longest = max(MOST_SECONDS, self.effort.limit) if math.isfinite(self.effort.limit) else MOST_SECONDS
        reason = refusal(self.file.result["rows"], name, length, action, most, longest)
        if reason is not None:
            self.file.add(Row(self.case.contender(name), length, action).common() | {"skipped": reason})
            self.console.print(f"{self.case.name}: {table.short(length):>5} {action} {name}: {reason}", style="yellow")
        return reason is None

    def _check(self, case: Case, contender: Contender) -> bool:
        """Whether a contract is kept; the report goes into the file."""
        effort = replace(self.effort, limit=max(self.effort.limit, case.limit))
        kept, seen = self.workshop.check(case, contender, effort)
        mark = "contract" if kept else "CONTRACT BROKEN, not measured"
        told = f"{case.name}: {mark}: {contender.name}: {seen}"
        self.console.print(told, style=None if kept else "red", highlight=False, markup=False, soft_wrap=True)
        self.file.see(contender.name, seen)
        return kept


def _effort(case: Case, given: argparse.Namespace, ends: float) -> Effort:
    plain = QUICK if given.quick else Effort()
    return Effort(
        given.repeats or min(case.turns, plain.turns),
        plain.seconds if given.seconds is None else given.seconds,
        case.limit if given.limit is None else given.limit,
        ends,
    )


def _cases(given: argparse.Namespace) -> list[Case]:
    """The cases that are named; otherwise all of the device that do not take too long."""
    if given.cases:
        return [CASES[name] for name in given.cases]
    return [case for case in CASES.values() if not case.alone and case.device == (given.device or "cpu")]


def _is_whole(given: argparse.Namespace) -> bool:
    """Whether every case is measured as it is registered."""
    changed = (given.quick, given.lengths, given.only, given.repeats, given.seconds, given.threads, given.limit)
    own = given.device is None or all(case.device == given.device for case in _cases(given))
    return own and not any(value for value in changed)


def _command(arguments: list[str] | None) -> str:
    return shlex.join(["python", "-m", "benchmarks.run", *(sys.argv[1:] if arguments is None else arguments)])


def _parser() -> argparse.ArgumentParser:
    alone = ", ".join(case.name for case in CASES.values() if case.alone)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run",
        description="Measure time and memory beside other implementations.",
        epilog="Cases: " + "; ".join(f"{case.name} ({case.question})" for case in CASES.values()),
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", choices=[*CASES, []], help="which cases; see below")
    parser.add_argument("--all", action="store_true", help=f"every case but {alone}, which is named to be measured")
    parser.add_argument("--quick", action="store_true", help="short lengths and few turns: minutes for everything")
    parser.add_argument("--lengths", type=length_of, nargs="+", help="in place of a case's own, such as 4k 64k")
    parser.add_argument("--only", type=lambda text: text.split(","), help="families, such as ours,transformers")
    parser.add_argument("--repeats", type=int, help="the most turns for each action")
    parser.add_argument("--seconds", type=float, help="no further turn is begun after so long for each action")
    parser.add_argument("--limit", type=float, help="seconds after which a contender that has not answered is ended")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after which all stops; see --resume")
    parser.add_argument("--threads", type=int, help="for everybody; all cores if not given")
    parser.add_argument(
        "--device", help="where tensors are made, cpu or cuda; a case's own if not given. Without CASE: its cases"
    )
    parser.add_argument("--pairs", type=Path, help="for translation: a TSV of python -m benchmarks.help_pairs")
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted run has stopped")
    parser.add_argument("--output", type=Path, help="a folder for the JSON files")
    return parser


def length_of(text: str) -> int:
    units = {"k": 1 << 10, "M": 1 << 20}
    if text[-1] in units:
        return int(text[:-1]) * units[text[-1]]
    return int(float(text)) if "e" in text else int(text)


if __name__ == "__main__":
    sys.exit(main())
