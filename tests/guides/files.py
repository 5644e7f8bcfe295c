"""Files and runs that readers of the guides have of their own: small ones under the same names."""

import json
import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from reformer.recipe import Recipe
from reformer.runs.recipe_file import write_recipe
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import train
from tests.guides.blocks import ROOT
from tests.tiny import (
    MODEL,
    language_recipe,
    ner_recipe,
    write_conll,
    write_pairs,
    write_questions,
    write_series,
    write_text,
)


def _texts(path: Path) -> None:
    names = random.Random(0).choices(("王小明", "李华"), k=6)
    lines = [json.dumps({"id": str(number), "text": f"{name}去了北京的新华社。"}) for number, name in enumerate(names)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _label_studio(path: Path) -> None:
    value = {"start": 0, "end": 3, "text": "江泽民", "labels": ["PER"]}
    result = {"value": value, "from_name": "label", "to_name": "text", "type": "labels"}
    record = {"id": 1, "annotations": [{"id": 1, "result": [result]}], "data": {"text": "江泽民在北京"}}
    path.write_text(json.dumps([record]), encoding="utf-8")


def _different_reviews(path: Path) -> None:
    """Reviews of which none stands there twice, so that nothing is wrong with them."""
    rows = [f"第{number}天很{word},{label}" for number in range(30) for word, label in (("好", "pos"), ("差", "neg"))]
    path.write_text("\n".join(["text,label", *rows, ""]), encoding="utf-8")


def _recipe_for_reviews(path: Path) -> None:
    tables = {"data": {"train": "reviews.csv"}, "training": {"task": "sequence-classification", "max_steps": 2}}
    write_recipe(checked_recipe(tables), path)


def _image(path: Path) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8) * 3
    Image.fromarray(grey).save(path)


def _image_table(path: Path) -> None:
    _image(path.with_name("1.png"))
    path.write_text("file\n1.png\n", encoding="utf-8")


FILES: dict[str, Callable[[Path], object]] = {
    "documents.conll": lambda path: write_conll(path, 60),
    "entities.conll": lambda path: write_conll(path, 60),
    "test.conll": lambda path: write_conll(path, 8, seed=1),
    "entities-test.conll": lambda path: write_conll(path, 8, seed=1),
    "documents.jsonl": _texts,
    "project.json": _label_studio,
    "reviews.csv": _different_reviews,
    "reviews.toml": _recipe_for_reviews,
    "pairs.tsv": lambda path: write_pairs(path, 60),
    "pairs-test.tsv": lambda path: write_pairs(path, 5, seed=1),
    "new.tsv": lambda path: write_pairs(path, 3, seed=2),
    "questions.jsonl": lambda path: write_questions(path, 60),
    "questions-test.jsonl": lambda path: write_questions(path, 8, seed=1),
    "new.jsonl": lambda path: write_questions(path, 3, seed=2),
    "sales.csv": lambda path: write_series(path, 600),
    "other-year.csv": lambda path: write_series(path, 300, seed=1),
    "book.txt": lambda path: write_text(path, 2000),
    "huge.txt": lambda path: write_text(path, 2000, seed=1),
    "chapter.txt": lambda path: write_text(path, 200, seed=2),
    "photo.png": _image,
    "new/images.csv": _image_table,
}
"""Files, each by what writes it."""


def _images_recipe(folder: Path) -> dict:
    rows = ["file,label"]
    for number in range(12):
        Image.fromarray(np.full((8, 8), number * 20, np.uint8)).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{number % 2}")
    (folder / "train.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    training = {"task": "image-classification", "max_steps": 2, "batch_size": 4, "device": "cpu"}
    return {"data": {"train": str(folder / "train.csv")}, "model": MODEL | {"patch_size": 4}, "training": training}


RUNS: dict[str, Callable[[Path], dict]] = {
    "runs/enwik8-quick": lambda folder: language_recipe(folder, max_steps=2, num_evaluations=1),
    "runs/my-images": _images_recipe,
    "runs/people-daily-ner": lambda folder: ner_recipe(folder, max_steps=2, num_evaluations=1),
}
"""Runs that the guides tell to train with more data or time than a test has, each by its recipe."""


def write_given(folder: Path, names: Iterable[str]) -> None:
    """Write these of `FILES` and `RUNS`, and the recipes that come along, into a folder."""
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name in FILES:
            FILES[name](folder / name)
            continue
        data = folder / "data-of" / name
        data.mkdir(parents=True)
        recipe: Recipe = checked_recipe(RUNS[name](data))
        train(recipe, folder / name)
