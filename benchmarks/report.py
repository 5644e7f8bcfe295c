"""`python -m benchmarks.report`: write the tables and pictures of the documentation from the results."""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import (
    exported,
    hash_quality_table,
    learning_tables,
    markdown,
    memory_tables,
    plan_tables,
    results,
    unseen,
)
from benchmarks.gpu import counting
from benchmarks.gpu import tables as gpu_tables
from benchmarks.machine import ROOT
from benchmarks.registry import CASES

PAGE = ROOT / "docs" / "benchmarks.md"
MATH = ROOT / "docs" / "math.md"
HASHES = ROOT / "docs" / "hash-quality.md"
EXPORT = ROOT / "docs" / "guides" / "export.md"
PAGES = (PAGE, MATH, HASHES, EXPORT)
IMAGES = ROOT / "docs" / "images"

TABLES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "attention": ("attention", markdown.attention),
    "attention-avx2": ("attention-avx2", markdown.attention),
    "contracts": ("attention", markdown.contracts),
    "attention-bf16": ("attention-bf16", markdown.bfloat16),
    "hashing": ("hashing", markdown.hashing),
    "scaling": ("scaling", markdown.scaling),
    "training-step": ("training-step", markdown.training_step),
    "threads": ("threads", markdown.threads),
    "eager": ("eager", markdown.times_only),
    "crossover": ("crossover", markdown.crossover),
    "depth": ("depth", memory_tables.growth),
    "depth-64k": ("depth-64k", memory_tables.growth),
    "depth-one-stream": ("depth-one-stream", memory_tables.growth),
    "length": ("length", memory_tables.growth),
    "million": ("million", memory_tables.million),
    "decoding": ("decoding", memory_tables.decoding),
    "streaming": ("streaming", memory_tables.streaming),
    "pieces": ("pieces", memory_tables.pieces),
    "duplication": ("duplication", learning_tables.duplication),
    "synthetic": ("synthetic", learning_tables.synthetic),
    "hash-quality": ("hash-quality", hash_quality_table.hash_quality),
    "copy-reverse": ("copy-reverse", learning_tables.copy_reverse),
    "translation": ("translation", learning_tables.translation),
    "options": ("options", learning_tables.options),
    "byte-lm": ("byte-lm", learning_tables.byte_lm),
    "forecasting": ("forecasting", learning_tables.forecasting),
    "fine-tuning": ("fine-tuning", learning_tables.fine_tuning),
    "reading": ("reading", learning_tables.reading),
    "seen-weight": ("seen-weight", learning_tables.seen_weight),
    "crf": ("crf", markdown.crf),
    "unseen": ("unseen", unseen.table),
    "plans": ("plans", plan_tables.shown),
    "exported": ("exported", exported.table),
    "gpu-attention": ("gpu-attention", gpu_tables.gpu_attention),
    "gpu-training-step": ("gpu-training-step", gpu_tables.gpu_training_step),
    "gpu-streaming": ("gpu-streaming", gpu_tables.gpu_streaming),
}
"""The tables that can stand in a page: the case each is made from, and the function that makes it."""

ALONE = ("plans", "unseen", "exported")
"""The cases that have a command of their own."""

PICTURES = {
    "attention": "Time and memory of one attention against length",
    "scaling": "Time per token against length",
    "training-step": "Training speed and memory against length",
    "crossover": "Time of hashed and of full attention at short lengths",
    "depth": "Time and memory of a training step against the number of layers",
    "length": "Time and memory of a training step against length",
}
"""The tables that a picture stands over, and what it shows."""

_PLACE = re.compile(r"<!-- table: (?P<name>[a-z0-9-]+) -->\n.*?<!-- end -->", re.DOTALL)


def fill(page: str, folder: Path = results.FOLDER) -> str:
    """The page with everything between `<!-- table: NAME -->` and `<!-- end -->` made anew."""

    def replace(place: re.Match[str]) -> str:
        name = place["name"]
        return f"<!-- table: {name} -->\n\n{_table(name, folder)}\n\n<!-- end -->"

    return _PLACE.sub(replace, page)


def _table(name: str, folder: Path) -> str:
    if name == "machine":
        return markdown.machine({case: found for case in CASES if (found := results.load(case, folder))})
    if name == "counted":
        return counting.table()
    case, made = TABLES[name]
    result = results.load(case, folder)
    if result is None or not result["rows"]:
        return f"Not measured yet: `python -m benchmarks.{case if case in ALONE else f'run {case}'}`."
    picture = f"![{PICTURES[name]}](images/{case}.svg)\n\n" if name in PICTURES else ""
    return picture + made(result)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page's tables are not these")
    parser.add_argument("--results", type=Path, default=results.FOLDER, help="the folder with the JSON files")
    parser.add_argument("--page", type=Path, help="in place of those of the documentation")
    given = parser.parse_args(arguments)
    pages = {page: page.read_text(encoding="utf-8") for page in ([given.page] if given.page else PAGES)}
    made = {page: fill(before, given.results) for page, before in pages.items()}
    if given.check:
        old = [page for page in pages if pages[page] != made[page]]
        for page in old:
            print(f"{page} does not show {given.results}; run python -m benchmarks.report", file=sys.stderr)
        return int(bool(old))
    for page, after in made.items():
        page.write_text(after, encoding="utf-8")
    # Drawing is needed only here, and takes long to import.
    from benchmarks.plots import draw

    images = given.page.parent / "images" if given.page else IMAGES
    for case in CASES:
        result = results.load(case, given.results)
        for path in draw(result, images) if result else []:
            print(f"drew {path}")
    print(f"wrote {', '.join(map(str, made))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
