"""`python -m benchmarks.plans`: what `reformer plan` foretells beside what `reformer train` takes, as a table.

Each case is a run of a few steps on made-up data, planned in one process and trained in another. Errors are relative to
what was measured. Nothing else should run on the machine.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.markdown import grid
from benchmarks.table import duration, short, size
from reformer.runs.recipe_file import write_recipe
from reformer.tasks.recipe_checks import checked_recipe

TASKS = ("language-modelling", "masked-language-modelling", "token-classification", "sequence-classification")
LENGTHS = (4096, 16384, 65536, 262144)
STEPS = 3
MODEL = {
    "hidden_size": 128,
    "num_attention_heads": 4,
    "attention_head_size": 32,
    "feed_forward_size": 512,
    "attention_layers": ["local", "lsh", "local", "lsh"],
    "max_position_embeddings": 1 << 20,
}


@dataclass(frozen=True)
class Case:
    """A run to plan and to measure."""

    task: str
    length: int
    reversible: bool
    precision: str

    @property
    def name(self) -> str:
        kept = "reversible" if self.reversible else "kept"
        return f"{self.task}, {short(self.length)}, {kept}, {self.precision}"


CASES = tuple(
    Case(task, length, reversible, precision)
    for task in TASKS
    for length in LENGTHS
    for reversible in (True, False)
    for precision in ("float32", "bfloat16")
)


def written(case: Case, folder: Path) -> Path:
    """The recipe of a case, its data made up beside it."""
    pick, count = random.Random(0), STEPS + 1
    words = ("the ", "river ", "runs ", "far ")
    texts = ["".join(pick.choices(words, k=case.length // 3))[: case.length] for _ in range(count)]
    data: dict[str, Any] = {}
    if case.task == "language-modelling":
        (folder / "data.txt").write_text("".join(texts), encoding="utf-8")
        data = {"train": str(folder / "data.txt"), "sequence_length": case.length, "validation_fraction": 1 / count}
    else:
        records = [
            {"id": str(number), "text": text, "label": str(number % 2), "spans": [{"start": 4, "end": 9, "label": "X"}]}
            for number, text in enumerate(texts)
        ]
        for part, chosen in (("train", records), ("validation", records[:1])):
            lines = "".join(json.dumps(record) + "\n" for record in chosen)
            (folder / f"{part}.jsonl").write_text(lines, encoding="utf-8")
            data[part] = str(folder / f"{part}.jsonl")
    tables = {
        "data": data,
        "tokenizer": {"kind": "byte"},
        "model": MODEL | {"reversible": case.reversible},
        "training": {
            "task": case.task,
            "max_steps": STEPS,
            "batch_size": 1,
            "num_evaluations": 1,
            "precision": case.precision,
            "baseline": "none",
            "device": "cpu",
        },
    }
    write_recipe(checked_recipe(tables), folder / "recipe.toml")
    return folder / "recipe.toml"


def measured(case: Case) -> dict[str, Any]:
    """What was foretold of a case and what it took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = written(case, folder)
        planned = subprocess.run(
            [sys.executable, "-m", "reformer", "plan", str(recipe), "--json"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        found: dict[str, Any] = {"case": case.name}
        if not planned.stdout:
            return found | {"error": planned.stderr.strip()}
        plan = json.loads(planned.stdout)
        train = [sys.executable, "-m", "reformer", "train", str(recipe), "-o", str(folder / "run")]
        begun = time.perf_counter()
        peak, status = _watched(train)
        found |= {"planned_bytes": plan["cost"]["peak_bytes"], "planned_seconds": plan["cost"]["seconds"]}
        if status:
            return found | {"error": f"training ended with {status}", "fits": plan["fits"], "bytes": peak}
        metrics = json.loads((folder / "run/metrics.json").read_text(encoding="utf-8"))
        seconds = 60 * metrics["training"]["minutes"]
        return found | {"bytes": peak, "seconds": seconds, "wall_seconds": time.perf_counter() - begun}


def _watched(command: list[str]) -> tuple[int, int]:
    """The most bytes that a process had in memory, and its status."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peaks, ended = [0], threading.Event()

    def watch() -> None:
        watched = psutil.Process(process.pid)
        while not ended.wait(0.005):
            try:
                peaks.append(watched.memory_info().rss)
            except psutil.Error:
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    status = process.wait()
    ended.set()
    thread.join()
    return max(peaks), status


def table(rows: Iterable[dict[str, Any]]) -> str:
    """The rows in Markdown, and below them the errors at the median and at worst."""
    rows = list(rows)
    lines, memory, seconds = [], [], []
    for row in rows:
        if "error" in row:
            lines.append([row["case"], row["error"], *[""] * 5])
            continue
        memory.append(row["planned_bytes"] / row["bytes"] - 1)
        seconds.append(row["planned_seconds"] / row["seconds"] - 1)
        told = [size(int(row["planned_bytes"])), size(row["bytes"]), f"{100 * memory[-1]:+.0f} %"]
        told += [duration(row["planned_seconds"]), duration(row["seconds"]), f"{100 * seconds[-1]:+.0f} %"]
        lines.append([row["case"], *told])
    head = ["run", "memory foretold", "measured", "", "time foretold", "measured", ""]
    return grid(head, lines) + "\n\n" + "\n".join(_errors(memory, seconds)) + "\n"


def _errors(memory: list[float], seconds: list[float]) -> Iterator[str]:
    for name, found in (("memory", memory), ("time", seconds)):
        if found:
            sizes = sorted(map(abs, found))
            middle, worst = 100 * statistics.median(sizes), 100 * sizes[-1]
            yield f"{name}: within {middle:.0f} % at the median, {worst:.0f} % at worst, of {len(sizes)} runs"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--longest", type=int, default=LENGTHS[-1], help="leave out greater lengths")
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--json", action="store_true", help="print what was measured as JSON")
    given = parser.parse_args(arguments)
    rows = []
    for case in CASES:
        if case.length <= given.longest and given.only in case.name:
            rows.append(measured(case))
            sys.stderr.write(json.dumps(rows[-1]) + "\n")
    sys.stdout.write(json.dumps(rows, indent=2) + "\n" if given.json else table(rows))


if __name__ == "__main__":
    main()
