"""`python -m benchmarks.run CASE...`: check the contract, measure in turns, write JSON, print tables."""

import argparse
import os
import shlex
import sys
import time
from pathlib import Path

from rich.console import Console

from benchmarks import memory, results, table
from benchmarks.case import Case, Contender
from benchmarks.foresight import refusal
from benchmarks.machine import ROOT, describe
from benchmarks.registry import CASES
from benchmarks.turns import Effort, Row, Workshop

DRAFTS = ROOT / "build" / "benchmarks"
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
    cases = _cases(given)
    threads = given.threads or os.cpu_count() or 1
    machine = describe(threads) | {"command": _command(arguments)}
    workshop = Workshop(threads, given.device, given.pairs)
    folder = given.output or (results.FOLDER if _is_whole(given) else DRAFTS)
    begun, sound = time.perf_counter(), True
    for case in cases:
        header = {"case": case.name, "question": case.question, "axis": case.axis, "actions": list(case.actions)}
        file = results.ResultFile(folder, header | {"machine": machine})
        if given.resume:
            file.resume()
        try:
            sound &= _measure(case, given, workshop, file, console)
        except KeyboardInterrupt:
            table.print_result(file.result, console)
            console.print(f"stopped; what was measured is in {file.partial}", style="red")
            return INTERRUPTED
        file.finish()
        table.print_result(file.result, console)
        console.print(f"written to {file.path}")
    console.print(f"{len(cases)} cases in {(time.perf_counter() - begun) / 60:.1f} minutes")
    return 0 if sound else 1


def _measure(
    case: Case, given: argparse.Namespace, workshop: Workshop, file: results.ResultFile, console: Console
) -> bool:
    """One case into its file; whether nothing failed."""
    lengths = given.lengths or (case.quick_lengths if given.quick else case.lengths)
    chosen = [each for each in case.contenders if given.only is None or each.family in (*given.only, "machine")]
    chosen = [each for each in chosen if any(_left(case, each, length, file) for length in lengths)]
    contracts = {each.name: _check(case, each, workshop, console) for each in chosen}
    file.see({name: seen for name, (_, seen) in contracts.items()})
    chosen = [each for each in chosen if contracts[each.name][0]]
    sound = all(kept for kept, _ in contracts.values())
    effort = Effort() if not given.quick else QUICK
    most = given.repeats or min(case.turns, effort.turns)
    effort = Effort(most, effort.seconds if given.seconds is None else given.seconds)
    for length in lengths:
        left = [each for each in chosen if _left(case, each, length, file)]
        turns = [[each] for each in left] if case.apart else [left]
        for together in filter(None, turns):
            sound &= _measure_together(case, together, length, effort, workshop, file, console)
    return sound


def _left(case: Case, contender: Contender, length: int, file: results.ResultFile) -> list[str]:
    """The actions that are still to be measured at a length."""
    actions = [action for action in case.actions if contender.reaches(length, action)]
    return [] if file.has(contender.name, length, actions) else actions


def _measure_together(
    case: Case,
    contenders: list[Contender],
    length: int,
    effort: Effort,
    workshop: Workshop,
    file: results.ResultFile,
    console: Console,
) -> bool:
    """Some contenders in turns at one length into the file, or why one alone is not run; whether nothing failed."""
    if case.apart:
        [alone] = contenders
        rows = file.result["rows"] if case.grows else []
        reason = refusal(rows, alone, length, case.actions, memory.most())
        if reason is not None:
            for action in _left(case, alone, length, file):
                row = Row(alone, length, action).common() | {"skipped": reason}
                file.add(row)
            console.print(f"{case.name}: {table.short(length):>5} {alone.name}: {reason}", style="yellow")
            return True
    sound = True
    for row in workshop.measure(case, contenders, length, effort):
        record = row.record()
        file.add(record)
        sound &= row.error is None
        what = f"{table.short(length):>5} {row.action:17} {row.contender.name:32}"
        told = "failed" if row.error is not None else table.duration(record["median_seconds"])
        console.print(f"{case.name}: {what} {told}", style=None if row.error is None else "red")
    return sound


def _check(case: Case, contender: Contender, workshop: Workshop, console: Console) -> tuple[bool, str]:
    kept, seen = workshop.check(case, contender)
    mark = "contract" if kept else "CONTRACT BROKEN, not measured"
    console.print(
        f"{case.name}: {mark}: {contender.name}: {seen}", style=None if kept else "red", highlight=False, soft_wrap=True
    )
    return kept, seen


def _cases(given: argparse.Namespace) -> list[Case]:
    if given.cases:
        return [CASES[name] for name in given.cases]
    return [case for case in CASES.values() if not case.alone]


def _is_whole(given: argparse.Namespace) -> bool:
    """Whether every case is measured as it is registered."""
    changed = (given.quick, given.lengths, given.only, given.repeats, given.seconds, given.threads)
    return given.device == "cpu" and not any(value for value in changed)


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
    parser.add_argument("--threads", type=int, help="for everybody; all cores if not given")
    parser.add_argument(
        "--device", default="cpu", help="where tensors are made, such as cuda; the processor if not given"
    )
    parser.add_argument("--pairs", type=Path, help="for translation: a TSV of python -m benchmarks.help_pairs")
    parser.add_argument("--resume", action="store_true", help="go on from CASE.partial.json of an interrupted run")
    parser.add_argument("--output", type=Path, help="a folder for the JSON files")
    return parser


def length_of(text: str) -> int:
    units = {"k": 1 << 10, "M": 1 << 20}
    if text[-1] in units:
        return int(text[:-1]) * units[text[-1]]
    return int(float(text)) if "e" in text else int(text)


if __name__ == "__main__":
    sys.exit(main())
