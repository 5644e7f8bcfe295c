"""Workloads: every command that writes, on made-up data that take a second."""

import hashlib
import io
import tarfile
from pathlib import Path

from matplotlib.figure import Figure

from reformer.data import DataSet
from reformer.data.index._registry import DATA_SETS, Archive, Member
from reformer.inference import scoring
from reformer.runs.recipe_file import write_recipe
from reformer.tasks.recipe_checks import checked_recipe
from tests.faults.commands import Workload, run
from tests.models.pretrained.shapes import save_with_tokenizer
from tests.tiny import language_recipe, ner_recipe, series_recipe, write_conll, write_series, write_text

MEMBER_SIZE = 100_000
DATA = {"train.conll": "train.conll", "test.conll": "test.conll"}
TRAIN = {
    name: ("train", f"{name}.toml", "-o", "run") for name in ("labels", "other", "adapter", "language", "forecasts")
}


def _training(name: str, recipe: str, inputs: dict[str, str], *options: str) -> Workload:
    command = (*TRAIN[recipe], *options)
    return Workload(
        name, command, {f"{recipe}.toml": f"{recipe}.toml", **inputs}, (*TRAIN[recipe], "--resume"), steps=True
    )


WORKLOADS = (
    _training("train", "labels", DATA),
    _training("train over a former run", "labels", {"run": "other", **DATA}, "--overwrite"),
    _training("train an adapter", "adapter", {"labels": "labels", **DATA}),
    _training("train a language model", "language", {"text.txt": "text.txt"}),
    _training("train on series", "forecasts", {"series.csv": "series.csv"}),
    Workload(
        "predict",
        ("predict", "labels", "test.conll", "-o", "out.jsonl", "--overwrite"),
        {"labels": "labels", "test.conll": "test.conll", "out.jsonl": "former.txt"},
    ),
    Workload(
        "predict and go on",
        ("predict", "labels", "test.conll", "-o", "out.csv"),
        {"labels": "labels", "test.conll": "test.conll"},
        ("predict", "labels", "test.conll", "-o", "out.csv", "--resume"),
    ),
    Workload(
        "predict and draw",
        ("predict", "forecasts", "series.csv", "-o", "out.csv", "--pictures", "pictures", "--overwrite"),
        {"forecasts": "forecasts", "series.csv": "series.csv"},
    ),
    Workload(
        "evaluate",
        ("evaluate", "labels", "test.conll", "-o", "scores.json", "--overwrite"),
        {"labels": "labels", "test.conll": "test.conll", "scores.json": "former.txt"},
    ),
    Workload(
        "score",
        (
            *("score", "language", "text.txt", "more.txt", "--piece", "700", "--state", "kept/state.safetensors"),
            *("--per-token", "tokens.jsonl", "-o", "scores.json", "--overwrite"),
        ),
        {
            "language": "language",
            "text.txt": "text.txt",
            "more.txt": "more.txt",
            "kept": "kept",
            "tokens.jsonl": "former.txt",
            "scores.json": "former.txt",
        },
    ),
    Workload(
        "score into a table",
        ("score", "language", "text.txt", "--per-token", "tokens.parquet", "--overwrite"),
        {"language": "language", "text.txt": "text.txt", "tokens.parquet": "former.txt"},
    ),
    Workload("convert", ("convert", "bert", "ours", "--layers", "2", "--length", "90"), {"bert": "bert"}),
    Workload(
        "init",
        ("init", "train.conll", "-o", "names.toml", "--overwrite"),
        {"train.conll": "train.conll", "names.toml": "former.txt"},
    ),
    Workload("fetch", ("data", "fetch", "toy"), {"cache": "cache"}),
)


def prepare(parts: Path) -> None:
    """Write the inputs of all workloads, and train the runs that some begin with."""
    tables = {
        "labels": ner_recipe(parts, max_steps=6, ema_decay=0.9, logging_steps=1),
        "other": ner_recipe(parts, max_steps=2, seed=1),
        "adapter": ner_recipe(parts, max_steps=4, num_evaluations=2),
        "language": language_recipe(parts, max_steps=6),
        "forecasts": series_recipe(parts, max_steps=6),
    }
    del tables["language"]["tokenizer"]
    tables["adapter"] |= {"model": {}, "finetune": {"start_from": "labels", "lora_rank": 2}}
    save_with_tokenizer(parts / "bert", "王小明去了北京")
    write_series(parts / "series.csv", 200)
    write_conll(parts / "train.conll", 30)
    write_text(parts / "text.txt", 3000)
    write_text(parts / "more.txt", 1500, seed=1)
    (parts / "former.txt").write_text("former", encoding="utf-8")
    (parts / "kept").mkdir()
    (parts / "kept/notes.txt").write_text("mine", encoding="utf-8")
    for name, table in tables.items():
        # Paths in the folder that a command runs in, which is another one each time.
        table["data"] = {
            field: Path(value).name if isinstance(value, str) else value for field, value in table["data"].items()
        }
        write_recipe(checked_recipe(table), parts / f"{name}.toml")
    for name in ("labels", "other", "language", "forecasts"):
        outcome = run(parts, (*TRAIN[name][:-1], name))
        if outcome.status:
            raise RuntimeError(outcome.errors)
    (parts / "cache/archives").mkdir(parents=True, exist_ok=True)
    (parts / "cache/archives/toy-1.0.tar.gz").write_bytes(_archive())


def adapt() -> None:
    """Make small work big enough to be met in the middle: in this process and in those it forks."""
    content = _archive()
    archive = Archive("toy", "1.0", "toy-1.0.tar.gz", len(content), hashlib.sha256(content).hexdigest())
    members = tuple(
        Member(f"toy-1.0/{name}.txt", MEMBER_SIZE, hashlib.sha256(name.encode() * MEMBER_SIZE).hexdigest())
        for name in ("a", "b")
    )
    DATA_SETS["toy"] = DataSet("toy", "two files", "none", archive, members)
    # Drawn in memory, which takes half of the time, and written like any file.
    Figure.savefig = lambda figure, file, **options: file.write(b"\x89PNG\r\n\x1a\n" + bytes(1000))
    # The state of a scoring after every piece, not after half a minute.
    scoring.SECONDS_BETWEEN_STATES = 0.0


def _archive() -> bytes:
    packed = io.BytesIO()
    # The times of members are 0, and so its digest is always the same; gzip would write the time of day.
    with tarfile.open(fileobj=packed, mode="w:") as package:
        for name in ("a", "b"):
            member = tarfile.TarInfo(f"toy-1.0/{name}.txt")
            member.size = MEMBER_SIZE
            package.addfile(member, io.BytesIO(name.encode() * member.size))
    return packed.getvalue()
