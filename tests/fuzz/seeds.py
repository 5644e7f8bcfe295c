"""Valid inputs to begin with: data files of every format, recipes, and runs of models that have learned nothing."""

import gzip
import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from reformer.finetuning import Adapter, Base, load_pretrained
from reformer.finetuning.lora import add_lora
from reformer.recipe import Recipe
from reformer.runs.folder import make_folder, save_model, write_metrics
from reformer.tasks.recipe_checks import checked_recipe
from reformer.tasks.registry import TASKS
from tests.tiny import (
    language_recipe,
    masked_recipe,
    ner_recipe,
    pairs_recipe,
    reviews_recipe,
    series_recipe,
    write_conll,
    write_pairs,
    write_questions,
    write_reviews,
    write_series,
    write_text,
)

DOCUMENTS = {
    ".jsonl": b'{"text": "\xe5\x8c\x97\xe4\xba\xac\xe6\xac\xa2\xe8\xbf\x8e\xe4\xbd\xa0", "id": 7, "label": "a", '
    b'"spans": [{"start": 0, "end": 2, "label": "LOC"}]}\n{"text": "x y", "label": 1}\n',
    ".csv": b'id,text,label\n1,"a ""b""\nc",pos\n2,\xe5\xa5\xbd,neg\n',
    ".tsv": b"text\tlabel\na b\tpos\nc\tneg\n",
    ".conll": b"-DOCSTART- O\n\nUN\tNNP\tB-ORG\nhears\tVB\tO\n\n\xe4\xba\xac B-LOC\n\xe5\xb8\x82 I-LOC\n",
    ".txt": b"\xe5\x8c\x97\xe4\xba\xac\r\nsecond line\n",
    ".conllu": b"# sent_id = a\n# text = UN hears it\n1-2\tUN\t_\t_\t_\t_\t_\t_\t_\tNER=B-ORG\n"
    b"1\tU\t_\t_\t_\t_\t_\t_\t_\t_\n"
    b"2\tN\t_\t_\t_\t_\t_\t_\t_\t_\n3\thears\t_\t_\t_\t_\t_\t_\t_\tNER=O|SpaceAfter=No\n\n",
    ".bioes": b"# id 1\n1 \xe5\x8d\x97 B-GPE O\n2 \xe4\xba\xac E-GPE S-LOC\n3 o o O\n\n1 \xe6\x9d\x8e S-PER O\n",
    ".iob2": b"\xe6\x98\x8e0 O\n\xe5\xa4\xa91 PER-B\n\xe4\xb8\x8b0 PER-I\n\xe9\x9b\xa81 o\n\n#\tB-person name\n",
    ".json": b'[{"id": 1, "text": "Jose\xcc\x81 in Rom", "entities": [{"id": 1, "label": "PER", "start_offset": 0, '
    b'"end_offset": 4}], "relations": [{}]},\n{"text": "ab cd", "label": {"X": {"ab": [[0, 1]]}}}, '
    b'{"text": "ab cd", "entities": [{"start_idx": 3, "end_idx": 4, "type": "Y", "entity": "cd"}]}]',
    ".ndjson": b'{"data": {"text": "\xf0\x9f\x91\x8dab"}, "annotations": [{"result": [{"type": "labels", "value": '
    b'{"start": 2, "end": 4, "text": "ab", "labels": ["X", "Y"]}}, '
    b'{"type": "choices", "value": {"choices": ["c"]}}]}]}\n'
    b'{"text": "ab", "options": [{"id": "x"}], "accept": ["x"], "topic": {"choices": ["y"]}, "answer": "accept"}\n'
    b'["ab cd", {"entities": [[0, 2, "X"]]}]\n{"tokens": ["UN", "hears"], "ner_tags": ["B-ORG", "O"]}\n'
    b'{"text": "ab", "spans": [{"start": 0, "end": 1, "label": "X", "text": "b"}], "answer": "accept"}\n',
    ".ann": b"T1\tPER 0 2\tab\nT2\tX 3 4;5 7\tcd e\nR1\tIn Arg1:T1 Arg2:T2\n#1\tAnnotatorNotes T1\tx\n",
    ".fasttext": b"__label__a __label__b one two\n__label__c three\n\n__label__a four\n",
    ".alternating": b"pos good neg bad\npos \xe5\xa5\xbd\n",
}
TEXT_OF_BRAT = "ab cd\nef\u0301 \U0001f44d"
FIELDS = ("spans", "text", "label", "id", "entities", "labels", "data", "annotations", "answer", "tokens", "tags")
"""Fields of JSON that may appear in a mutated record."""


def recipes(folder: Path) -> dict[str, dict[str, Any]]:
    """The tables of a recipe for each kind of task, their files written into the folder."""
    found: dict[str, dict[str, Any]] = {}
    makers: dict[str, Callable[..., dict[str, Any]]] = {
        "labeller": ner_recipe,
        "classifier": reviews_recipe,
        "language": language_recipe,
        "masked": masked_recipe,
        "pairs": pairs_recipe,
        "series": series_recipe,
    }
    for name, make in makers.items():
        (folder / name).mkdir(parents=True)
        found[name] = make(folder / name)
    (folder / "questions").mkdir()
    found["questions"] = {
        "data": {"train": str(write_questions(folder / "questions/train.jsonl", 20))},
        "model": found["labeller"]["model"],
        "training": found["labeller"]["training"] | {"task": "question-answering"},
    }
    (folder / "images").mkdir()
    rows = ["file,label"]
    for number in range(12):
        Image.fromarray(np.full((8, 8), number * 20, np.uint8)).save(folder / f"images/{number}.png")
        rows.append(f"{number}.png,{number % 2}")
    (folder / "images/train.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    found["images"] = {
        "data": {"train": str(folder / "images/train.csv")},
        "model": found["labeller"]["model"] | {"patch_size": 4},
        "training": found["labeller"]["training"] | {"task": "image-classification"},
    }
    return found


def write_runs(folder: Path, tables: dict[str, dict[str, Any]]) -> None:
    """A run folder for each recipe, and one with an adapter of the labeller."""
    for name, each in tables.items():
        recipe: Recipe = checked_recipe(each)
        task = TASKS[recipe.training.task]
        data = task.load_data(recipe)
        torch.manual_seed(0)
        model = task.head(data.config)
        data.initialize(model)
        make_folder(folder / name, recipe)
        save_model(model.eval(), data.processor, folder / name)
        write_metrics({}, folder / name)
    base = load_pretrained(str(folder / "labeller"))
    lora = add_lora(base, 2)
    shutil.copytree(folder / "labeller", folder / "adapter")
    (folder / "adapter/model.safetensors").unlink()
    Adapter.of(base, lora, Base.at(str(folder / "labeller")), ()).save_pretrained(folder / "adapter")


def inputs_of_runs(folder: Path) -> dict[str, Path]:
    """A small file for each run to predict for."""
    conll, text = write_conll(folder / "ask.conll", 2), write_text(folder / "ask.txt", 60)
    return {
        "labeller": conll,
        "adapter": conll,
        "classifier": write_reviews(folder / "ask.csv", 2),
        "language": text,
        "masked": text,
        "pairs": write_pairs(folder / "ask.tsv", 2),
        "questions": write_questions(folder / "ask.jsonl", 2),
        "series": write_series(folder / "series.csv", 130),
        "images": folder / "images/0.png",
    }


def images() -> dict[str, bytes]:
    """An image of each kind, by suffix."""
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    kinds = {
        ".png": Image.fromarray(np.dstack([grey] * 4)),
        ".jpg": Image.fromarray(np.dstack([grey] * 3)),
        ".tiff": Image.fromarray(grey.astype(np.float32) / 64),
        ".tif": Image.fromarray(grey.astype(np.uint16) * 900),
        ".gif": Image.fromarray(grey).convert("P"),
        ".bmp": Image.fromarray(grey),
        ".ppm": Image.fromarray(np.dstack([grey] * 3)),
        ".webp": Image.fromarray(np.dstack([grey] * 3)),
        ".ico": Image.fromarray(np.dstack([grey] * 4)),
        ".tga": Image.fromarray(np.dstack([grey] * 3)),
    }
    found = {}
    for suffix, image in kinds.items():
        file = io.BytesIO()
        image.save(file, {".jpg": "JPEG", ".tif": "TIFF"}.get(suffix, suffix[1:].upper()))
        found[suffix] = file.getvalue()
    idx = bytes((0, 0, 8, 3)) + b"".join(side.to_bytes(4, "big") for side in (2, 3, 4)) + bytes(24)
    return found | {".idx": idx, ".idx.gz": gzip.compress(idx)}


def archives() -> dict[str, bytes]:
    """A source archive and a wheel with two members each."""
    files = {"toy/a.txt": b"one", "toy/b.txt": b"two" * 50}
    tar, wheel = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as package:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            package.addfile(member, io.BytesIO(content))
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in files.items():
            package.writestr(name, content)
    return {".tar.gz": tar.getvalue(), ".whl": wheel.getvalue()}


def questions() -> dict[str, bytes]:
    """Questions in both forms, by suffix."""
    record = {"question": "谁?", "context": "甲有3梨。", "answers": {"text": ["甲"], "answer_start": [0]}, "id": "q"}
    nested = {
        "data": [{"paragraphs": [{"context": record["context"], "qas": [{"question": "谁?", "id": 1, "answers": []}]}]}]
    }
    return {".jsonl": json.dumps(record).encode() * 1 + b"\n", ".json": json.dumps(nested, ensure_ascii=False).encode()}
