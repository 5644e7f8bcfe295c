"""Tiny recipes of every task that answers, and a file to predict for of each."""

import json

import numpy as np
from PIL import Image

from tests.tiny import (
    MODEL,
    language_recipe,
    ner_recipe,
    pairs_recipe,
    reviews_recipe,
    series_recipe,
    write_questions,
    write_series,
)

TEXTS = ("张伟去了北京的新华社。", "李华。", "王小明去了昌平区" * 7, "😀é上海\n李华", "很好满意", "x", "太差退货" * 40)
HOSTILE = "<img src=x onerror=alert(1)>\u202e张伟\u202c去了北京 😀 </script><b>李华</b>"
STEPS = {"max_steps": 4, "num_evaluations": 1}


def recipes(folder):
    """Recipes by the names of their runs."""
    questions = {
        "data": {"train": str(write_questions(folder / "questions.jsonl", 30))},
        "model": dict(MODEL),
        "training": {"task": "question-answering", "batch_tokens": 1024, "device": "cpu", **STEPS},
    }
    images = {
        "data": {"source": "index:digits"},
        "model": dict(MODEL) | {"patch_size": 4},
        "training": {"task": "image-classification", "batch_size": 64, "device": "cpu", **STEPS},
    }
    captions = {
        "data": {"source": "index:digit-captions"},
        "model": dict(MODEL) | {"patch_size": 4, "cross_attention_layers": ["full", "lsh"]},
        "training": {"task": "image-to-text", "batch_size": 64, "device": "cpu", **STEPS},
    }
    reviews = reviews_recipe(folder, **STEPS)
    del reviews["training"]["epochs"]
    return {
        "answers": questions,
        "captions": captions,
        "classes": reviews,
        "digits": images,
        "entities": ner_recipe(folder, max_steps=30),
        "pairs": pairs_recipe(folder, **STEPS),
        "series": series_recipe(folder, **STEPS),
        "writer": language_recipe(folder, **STEPS),
    }


def _texts(field, texts):
    def write(folder):
        lines = (json.dumps({field: text}, ensure_ascii=False) + "\n" for text in texts)
        (folder / f"{field}.jsonl").write_text("".join(lines), encoding="utf-8")
        return folder / f"{field}.jsonl"

    return write


def _image(folder):
    pixels = (np.arange(64).reshape(8, 8) * 4).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "image.png")
    return folder / "image.png"


INPUTS = {
    "answers": lambda folder: write_questions(folder / "asked.jsonl", 5, seed=1),
    "captions": _image,
    "classes": _texts("text", TEXTS),
    "digits": _image,
    "entities": _texts("text", TEXTS),
    "pairs": _texts("source", ("123", "40", "99999")),
    "series": lambda folder: write_series(folder / "last.csv", 120, seed=1),
}
"""What writes the file that each run is asked for."""
