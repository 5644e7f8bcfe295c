"""`python -m benchmarks.plans`: what `reformer plan` foretells beside what `reformer train` takes, as a table.

Each case is a run of a few steps on made-up data, planned in one process and trained in another, by the functions that
the commands call. Errors are relative to what was measured. Nothing else should run on the machine.
"""

import argparse
import json
import math
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import machine
from benchmarks.plan_tables import table
from benchmarks.table import short
from reformer.files import write
from reformer.runs.recipe_file import read_recipe, write_recipe
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.memory import peak_memory
from reformer.training.plan.begun import plan_recipe
from reformer.training.train import train

RESULTS = machine.ROOT / "benchmarks" / "results" / "plans.json"
TASKS = ("language-modelling", "masked-language-modelling", "token-classification", "sequence-classification")
OF_PAIRS, OF_QUESTIONS, OF_SERIES = "text-to-text", "question-answering", "forecasting"
LENGTHS = (4096, 16384, 65536, 262144)
STEPS = {4096: 8, 16384: 4, 65536: 2, 262144: 2}
PRECISIONS = ("float32", "bfloat16")
MODEL = {
    "hidden_size": 128,
    "num_attention_heads": 4,
    "attention_head_size": 32,
    "feed_forward_size": 512,
    "attention_layers": ["local", "lsh", "local", "lsh"],
    "max_position_embeddings": 1 << 20,
}
SMALL = {"hidden_size": 64, "num_attention_heads": 2, "feed_forward_size": 256, "attention_layers": ["local", "lsh"]}
TINY = SMALL | {"hidden_size": 32, "num_attention_heads": 1, "feed_forward_size": 64}


def model_fields(length: int, precision: str) -> dict[str, Any]:
    """A model whose steps take seconds. Many processors have no products in bfloat16, and emulate them slowly."""
    if precision == "bfloat16":
        return MODEL | (TINY if length > 16384 else SMALL)
    return MODEL | (SMALL if length > 65536 else {})


@dataclass(frozen=True)
class Case:
    """A run to plan and to measure."""

    task: str
    length: int
    reversible: bool
    precision: str
    rows: int = 1

    @property
    def name(self) -> str:
        kept = "reversible" if self.reversible else "kept"
        size = short(self.length) if self.rows == 1 else f"{self.rows} x {self.length}"
        return f"{self.task}, {size}, {kept}, {self.precision}"


CASES = (
    # Each task at each length: with and without reversing, in both precisions, which take turns.
    *(
        Case(task, length, reversible, PRECISIONS[(number + step + reversible) % 2])
        for step, length in enumerate(LENGTHS)
        for number, task in enumerate(TASKS)
        for reversible in ((True, False) if length < 65536 else ((number + step) // 2 % 2 == 0,))
    ),
    # Batches of several rows, which threads share; and rows that cannot be cut.
    Case("token-classification", 500, True, "float32", 16),
    Case("sequence-classification", 120, False, "float32", 64),
    Case(OF_PAIRS, 200, True, "float32", 16),
    Case(OF_QUESTIONS, 4096, False, "float32"),
    Case(OF_SERIES, 512, True, "float32", 16),
)


def written(case: Case, folder: Path) -> Path:
    """The recipe of a case, its data made up beside it."""
    steps = STEPS.get(case.length, 8)
    tables = {
        "data": _data(case, folder, (steps + 1) * case.rows),
        "model": model_fields(case.length, case.precision) | {"reversible": case.reversible},
        "training": {
            "task": case.task,
            "max_steps": steps,
            "batch_size": case.rows,
            "batch_tokens": None if case.rows == 1 else 4 * case.rows * case.length,
            "num_evaluations": 2 if steps > 2 else 1,
            "precision": case.precision,
            "baseline": "none",
            "device": "cpu",
        },
    }
    if case.task != OF_SERIES:
        tables["tokenizer"] = {"kind": "byte"}
    if case.task == OF_PAIRS:
        tables["model"] |= {"decoder_attention_layers": ["local"], "cross_attention_layers": ["full"]}
    write_recipe(checked_recipe(tables), folder / "recipe.toml")
    return folder / "recipe.toml"


def _data(case: Case, folder: Path, count: int) -> dict[str, Any]:
    """Made-up data of so many rows, as files; the `[data]` that names them."""
    pick = random.Random(0)
    words = ("the ", "river ", "runs ", "far ")
    texts = ["".join(pick.choices(words, k=case.length // 3))[: case.length] for _ in range(count)]
    if case.task == "language-modelling":
        (folder / "data.txt").write_text("".join(texts), encoding="utf-8")
        return {
            "train": str(folder / "data.txt"), "sequence_length": case.length, "validation_fraction": 1 / count,
        }  # fmt: skip
    if case.task == OF_SERIES:
        begin = datetime(2024, 1, 1)
        rows = (f"{begin + timedelta(hours=hour)},{2 + pick.random():.4f}\n" for hour in range(count * case.length))
        (folder / "data.csv").write_text("when,load\n" + "".join(rows), encoding="utf-8")
        return {"train": str(folder / "data.csv"), "context_length": case.length, "prediction_length": 24}
    records = [_record(case, number, text) for number, text in enumerate(texts)]
    files = {}
    for part, chosen in (("train", records), ("validation", records[: case.rows])):
        file = folder / f"{part}.jsonl"
        file.write_text("".join(json.dumps(record) + "\n" for record in chosen), encoding="utf-8")
        files[part] = str(file)
    return files


def _record(case: Case, number: int, text: str) -> dict[str, Any]:
    record: dict[str, Any] = {"id": str(number), "text": text}
    if case.task == OF_PAIRS:
        return {"source": text, "target": text[:50]}
    if case.task == OF_QUESTIONS:
        answer = {"answer_start": 4, "text": text[4:9]}
        return {
            "id": str(number),
            "context": text,
            "question": "where?",
            "answers": {k: [v] for k, v in answer.items()},
        }
    return record | {"label": str(number % 2), "spans": [{"start": 4, "end": 9, "label": "X"}]}


def measured(case: Case) -> dict[str, Any]:
    """What was foretold of a case and what it took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = written(case, folder)
        found: dict[str, Any] = {"case": case.name}
        plan = _alone(_planned, recipe)
        if isinstance(plan, str):
            return found | {"error": f"plan: {plan}"}
        found |= plan
        taken = _alone(_trained, recipe, folder / "run")
        return found | ({"error": f"training: {taken}"} if isinstance(taken, str) else taken)


def _planned(recipe: Path) -> dict[str, Any]:
    begun = time.perf_counter()
    plan = plan_recipe(read_recipe(recipe))
    return {
        "plan_seconds": time.perf_counter() - begun,
        "planned_bytes": plan.cost.peak,
        "planned_seconds": plan.cost.seconds,
        "fits": plan.fits,
        "measured_tokens": max(each.shape.tokens for each in plan.measured),
    }


def _trained(recipe: Path, folder: Path) -> dict[str, Any]:
    metrics = train(read_recipe(recipe), folder, console=Console(quiet=True))
    return {"bytes": peak_memory(), "seconds": 60 * metrics["training"]["whole_minutes"]}


def _alone(function: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any] | str:
    """What a function returns in a process of its own, which has imported all that commands import; else how it ended.

    Nothing has been computed in this one, which the other is a copy of.
    """
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=lambda: there.send(function(*arguments)))
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError:
        process.join()
        return f"ended with {process.exitcode}"
    finally:
        process.join()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--longest", type=int, default=LENGTHS[-1], help="leave out greater lengths")
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no further case after so many")
    parser.add_argument("--again", action="store_true", help="measure also what the file has")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the JSON file")
    given = parser.parse_args(arguments)
    begun, found = time.monotonic(), {} if not given.output.is_file() else _read(given.output)
    chosen = [case for case in CASES if case.length <= given.longest and given.only in case.name]
    for case in chosen:
        if time.monotonic() - begun < 60 * given.minutes and (given.again or case.name not in found):
            row = measured(case)
            found[case.name] = row
            sys.stderr.write(json.dumps(row) + "\n")
            rows = [found[each.name] for each in CASES if each.name in found]
            result = {"case": "plans", "machine": machine.describe(os.cpu_count() or 1, "cpu"), "rows": rows}
            write(given.output, (json.dumps(result, indent=2) + "\n").encode())
    left = [case.name for case in chosen if case.name not in found]
    sys.stdout.write(table(found[case.name] for case in chosen if case.name in found))
    if left:
        sys.stdout.write(f"not measured yet: {len(left)}, {left[0]} first\n")


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """What was measured before, by the names of the cases."""
    return {row["case"]: row for row in json.loads(path.read_text(encoding="utf-8"))["rows"]}


if __name__ == "__main__":
    main()
