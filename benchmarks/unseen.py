"""`python -m benchmarks.unseen [SET...]`: scores of `reformer init` and `train` on data that they were not tuned on.

For each set the package is fetched, its records are written to files with a test part of their own, and the two
commands are run as a user would. The score on the test part stands beside that of the classical method, in
`results/unseen.json`.
"""

import argparse
import csv
import hashlib
import io
import json
import statistics
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, describe
from benchmarks.results import FOLDER
from benchmarks.unseen_sets import UNSEEN, Tagged, UnseenSet, files
from reformer.data import Document, cache_folder, read_documents
from reformer.data.index._archive import archive_path
from reformer.errors import ReformerError
from reformer.files import make_folders, write
from reformer.tasks.registry import TASKS

RESULTS = FOLDER / "unseen.json"
SEED = "unseen 0"
TEST, MAX_TEST = 0.2, 2000
"""The share of the records that is held out to report on, and their number at most."""
MIN_CLASS = 10
"""Texts of a class, at least; those of smaller ones are left out."""

Record = tuple[str, str] | Tagged


def records(entry: UnseenSet, archive: Path) -> list[Record]:
    """The records of a set, in the order of its files: no text twice, none that is empty, no small class."""
    found: dict[str, Record] = {}
    for record in entry.read(files(archive, entry.holds)):
        found.setdefault(text_of(record), record)
    found.pop("", None)
    if entry.has_entities:
        return list(found.values())
    sizes = Counter(str(record[1]) for record in found.values())
    return [record for record in found.values() if sizes[str(record[1])] >= MIN_CLASS]


def text_of(record: Record) -> str:
    """The text of a record, without white space around it."""
    return (record[0] if isinstance(record, tuple) else " ".join(word for word, _ in record)).strip()


def split(found: Sequence[Record]) -> dict[str, list[Record]]:
    """Training and test records. Which ones are held out depends on their texts alone, and so does the order of
    labelled texts: a first part of them has every class. Sentences stay in their order, which may be that of a text."""
    order = sorted(found, key=lambda record: hashlib.sha256(f"{SEED}:{text_of(record)}".encode()).digest())
    held_out = {text_of(record) for record in order[: min(MAX_TEST, round(TEST * len(found)))]}
    parts = {"train": [], "test": []}
    for record in order if isinstance(found[0], tuple) else found:
        parts["test" if text_of(record) in held_out else "train"].append(record)
    return parts


def write_files(entry: UnseenSet, folder: Path, parts: dict[str, list[Record]]) -> dict[str, Path]:
    """The files of the parts: CSV, or CoNLL where the records are tagged."""
    make_folders(folder)
    paths = {}
    for part, found in parts.items():
        paths[part] = folder / f"{part}.{'conll' if entry.has_entities else 'csv'}"
        write(paths[part], (_conll(found) if entry.has_entities else _table(found)).encode())
    return paths


def _conll(found: Sequence[Any]) -> str:
    return "\n".join("".join(f"{word}\t{tag}\n" for word, tag in sentence) for sentence in found)


def _table(found: Sequence[Any]) -> str:
    target = io.StringIO(newline="")
    # Quoted, every one: the writer leaves a lone carriage return bare, which ends a line for its reader.
    csv.writer(target, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([("text", "label"), *found])
    return target.getvalue()


def figures(entry: UnseenSet, documents: Sequence[Document]) -> dict[str, Any]:
    """What a set is, for the results."""
    lengths = [len(document.text) for document in documents]
    classes = {label for each in documents for label in (each.label, *(span.label for span in each.spans or ()))}
    return {
        "set": entry.name,
        "task": "token-classification" if entry.has_entities else "sequence-classification",
        "language": entry.language,
        "source": f"{entry.archive.package} {entry.archive.version}",
        "licence": entry.licence,
        "documents": len(documents),
        "characters": sum(lengths),
        "median_length": round(statistics.median(lengths)),
        "longest": max(lengths),
        "classes": len(classes - {None}),
    }


def prepared(entry: UnseenSet, folder: Path) -> tuple[dict[str, Any], dict[str, Path]]:
    """The figures of a set, and the files of its parts; fetched first where it is not here."""
    found = records(entry, archive_path(entry.archive, cache_folder() / "archives", progress=True))
    paths = write_files(entry, folder, split(found))
    return figures(entry, [document for path in paths.values() for document in read_documents(path)]), paths


def run(entry: UnseenSet, folder: Path, minutes: float, overrides: Sequence[str], threads: int) -> dict[str, Any]:
    """A row of the results: the set, the recipe that was written, and what training by it has reached.

    Args:
        overrides: fields put over the recipe, as `TABLE.FIELD=VALUE`.
    """
    row, paths = prepared(entry, folder)
    recipe = folder / "recipe.toml"
    init = ["init", str(paths["train"]), "-o", str(recipe), "--minutes", f"{minutes:g}", "--overwrite"]
    chosen = [f"data.test={json.dumps(str(paths['test']))}", f"training.num_threads={threads}", *overrides]
    train = ["train", str(recipe), "-o", str(folder / "run"), "--overwrite"]
    machine = describe(threads, "cpu")
    for command in (init, [*train, *(part for override in chosen for part in ("--set", override))]):
        if subprocess.run([sys.executable, "-m", "reformer", *command], check=False).returncode:
            raise ReformerError(f"{entry.name}: reformer {command[0]} failed, for the reason above")
    metrics = json.loads((folder / "run" / "metrics.json").read_text(encoding="utf-8"))
    tables = tomllib.loads(recipe.read_text(encoding="utf-8"))
    # The name alone: where the file lay says nothing.
    tables["data"]["train"] = paths["train"].name
    kept = {name: metrics.get(name) for name in ("validation", "test", "baseline", "training")}
    return row | {"minutes": minutes, "overrides": list(overrides), "recipe": tables, **kept, "machine": machine}


def add(row: dict[str, Any], path: Path = RESULTS) -> None:
    """Put a row into the results, in place of an earlier one of the same set."""
    rows = {} if not path.exists() else {each["set"]: each for each in json.loads(path.read_text("utf-8"))["rows"]}
    rows[row["set"]] = row
    result = {"case": "unseen", "rows": [rows[name] for name in sorted(rows)]}
    write(path, (json.dumps(result, ensure_ascii=False, indent=1) + "\n").encode())


def table(result: dict[str, Any]) -> str:
    """The results as a table of Markdown."""
    lines = [
        "| set | language | documents | median length | classes | score | classical | minutes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        metric = TASKS[row["task"]].best_metric
        floor = row["baseline"]["test"][metric] if row["baseline"] else None
        cells = [row["set"], row["language"], f"{row['documents']:,}", f"{row['median_length']:,}", str(row["classes"])]
        cells += [f"{metric} {row['test'][metric]:.4f}", "none" if floor is None else f"{floor:.4f}"]
        lines.append(f"| {' | '.join(cells)} | {row['minutes']:g} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unseen", description=__doc__)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(UNSEEN)}; without any, all")
    parser.add_argument("--minutes", type=float, default=15, help="the budget of each training (15)")
    parser.add_argument("--threads", type=int, default=2, help="threads to train with (2)")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "unseen", help="for files and runs")
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.FIELD=VALUE", help="over each recipe")
    parser.add_argument("--prepare", action="store_true", help="write the files and tell what they hold; train nothing")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.sets if name not in UNSEEN]:
        parser.error(f"there is no set {', '.join(unknown)}; there are {', '.join(UNSEEN)}")
    for name in given.sets or UNSEEN:
        if given.prepare:
            print(json.dumps(prepared(UNSEEN[name], given.folder / name)[0], ensure_ascii=False))
        else:
            add(run(UNSEEN[name], given.folder / name, given.minutes, given.set, given.threads))
    if RESULTS.exists() and not given.prepare:
        print(table(json.loads(RESULTS.read_text("utf-8"))))


if __name__ == "__main__":
    try:
        main()
    except ReformerError as error:
        sys.exit(str(error))
