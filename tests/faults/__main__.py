"""`python -m tests.faults`: kills, disk errors and power failures at every command that writes.

After each, the next command has to go on to the end of an undisturbed run, bit for bit; nothing that was there before
may be lost, and nothing left over; and every command has to end without a traceback.
"""

import argparse
import gc
import itertools
import json
import multiprocessing
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.faults import disk

HEAVY = (
    "reformer.cli",
    "reformer.training.train",
    "reformer.inference.scoring",
    "reformer.runs.loading",
    "reformer.metrics.doubts",
    "reformer.tasks.forecasting.plot",
    "matplotlib.backends.backend_agg",
    "pyarrow.parquet",
    "peft",
    "rich.progress",
    "rich.table",
)
"""Imported once, before the processes that each meet a fault are forked."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300, help="how many kills, at the least")
    parser.add_argument("--most", type=int, default=20, help="of disk errors and power failures, so many of each kind")
    parser.add_argument("--misuses", type=int, default=1000, help="how many of the commands with something wrong")
    parser.add_argument("--every", nargs="*", default=[], help="the workloads in which every change meets its fault")
    parser.add_argument("--workloads", nargs="*", help="these workloads alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="of all trials, those in whose description this stands")
    parser.add_argument("--output", type=Path, help="write the figures here, as JSON")
    options = parser.parse_args()
    if disk.WHY_NOT is not None:
        parser.error(disk.WHY_NOT)
    with tempfile.TemporaryDirectory() as folder:
        if not disk.loaded():
            above = os.environ | {"LD_PRELOAD": str(disk.build(Path(folder))), "OMP_NUM_THREADS": "1"}
            above |= {"REFORMER_CACHE": "cache", "COLUMNS": "300", "NO_COLOR": "1", "HF_HUB_OFFLINE": "1"}
            return subprocess.run(
                [sys.executable, "-m", "tests.faults", *sys.argv[1:]], env=above, check=False
            ).returncode
        return _report(_run(Path(folder).resolve(), options), options)


def _run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Carry out the trials; the figures by kind."""
    import torch

    for module in HEAVY:
        import_module(module)
    torch.set_num_threads(1)
    # A process that looks for garbage would otherwise copy all that was imported.
    gc.freeze()
    from tests.faults import misuse, trials, workloads

    workloads.adapt()
    begun = time.perf_counter()
    parts = folder / "parts"
    parts.mkdir()
    workloads.prepare(parts)
    chosen = [each for each in workloads.WORKLOADS if not options.workloads or each.name in options.workloads]
    known = {each.name: trials.undisturbed(each, parts, folder) for each in chosen}
    most = {name: trials.NEVER if name in options.every else options.most for name in known}
    pick = random.Random(options.seed)
    planned = [
        *trials.kills(known, options.kills, pick),
        *trials.disk_errors(known, most, pick),
        *trials.power_failures(known, most, pick),
        *trials.requests(known, options.most, pick),
    ]
    misuses = list(misuse.misuses())
    misuses = pick.sample(misuses, min(options.misuses, len(misuses)))
    planned = [trial for trial in planned if options.only in f"{trial.kind}: {trial}"] if options.only else planned
    kinds: dict[str, dict[str, int]] = {}
    failures = []
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("fork")) as pool:
        places = (folder / f"world-{number}" for number in itertools.count())
        disturbed = [known[trial.workload] for trial in planned]
        results = pool.map(trials.disturb, planned, disturbed, itertools.repeat(parts), places)
        results = itertools.chain(results, pool.map(trials.misuse, misuses, itertools.repeat(parts), places))
        for result in results:
            counts = kinds.setdefault(result.trial.kind, {"tried": 0, "survived": 0})
            counts["tried"] += result.happened
            if result.problems:
                failures.append(str(result.trial))
                print(f"{result.trial.kind}: {result.trial}", *result.problems, sep="\n    ", flush=True)
            else:
                counts["survived"] += result.happened
    return {
        "command": " ".join(["python -m tests.faults", *sys.argv[1:]]),
        "processor": f"{os.cpu_count()} cores, {_processor()}",
        "seed": options.seed,
        "commands": [*known],
        "kinds": kinds,
        "failed": failures,
        "seconds": round(time.perf_counter() - begun),
    }


def _processor() -> str:
    found = re.findall(r"^model(?: name)?\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return ", model ".join(reversed(found[:2])) if found else platform.machine()


def _report(figures: dict[str, Any], options: argparse.Namespace) -> int:
    for kind, counts in figures["kinds"].items():
        print(f"{kind:14} tried {counts['tried']:6,}  survived {counts['survived']:6,}")
    print(f"{figures['seconds']:,} s")
    if options.output is not None:
        options.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return int(bool(figures["failed"]))


if __name__ == "__main__":
    sys.exit(main())
