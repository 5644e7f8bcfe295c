"""Made-up documents and recipes that train in a second."""

import json
import math
import random
from datetime import datetime, timedelta
from pathlib import Path

PEOPLE, PLACES, FIRMS = ("王小明", "李华", "张伟"), ("北京", "上海", "昌平区"), ("新华社", "人民日报社")

MODEL = {
    "hidden_size": 16,
    "num_attention_heads": 2,
    "attention_head_size": 8,
    "feed_forward_size": 32,
    "attention_layers": ["local", "lsh"],
    "local_window": 8,
    "lsh_window": 8,
    "num_buckets": 4,
    "hidden_dropout_prob": 0.1,
    "convolution_kernel": 3,
}


def write_conll(path: Path, sentences: int, seed: int = 0) -> Path:
    """Sentences of one pattern about people, places and firms, as characters and BIO tags."""
    pick = random.Random(seed)
    lines = []
    for _ in range(sentences):
        parts = [
            (pick.choice(PEOPLE), "PER"),
            ("去了", None),
            (pick.choice(PLACES), "LOC"),
            ("的", None),
            (pick.choice(FIRMS), "ORG"),
            ("。", None),
        ]
        for text, label in parts:
            tags = ["O"] * len(text) if label is None else [f"B-{label}", *[f"I-{label}"] * (len(text) - 1)]
            lines += [f"{character} {tag}" for character, tag in zip(text, tags, strict=True)]
        lines.append("")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_reviews(path: Path, rows: int, seed: int = 0) -> Path:
    """Reviews that say outright whether they are good."""
    pick = random.Random(seed)
    lines = ["text,label"]
    for _ in range(rows):
        label = pick.choice(("pos", "neg"))
        words = "很好满意" if label == "pos" else "太差退货"
        lines.append(f"{''.join(pick.choices(words, k=pick.randint(3, 12)))},{label}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def ner_recipe(folder: Path, **training: object) -> dict:
    """A labeller's recipe as tables, with its files written into the folder."""
    return {
        "data": {
            "train": str(write_conll(folder / "train.conll", 40)),
            "test": str(write_conll(folder / "test.conll", 8, seed=1)),
            "max_length": 60,
            "validation_fraction": 0.2,
        },
        "model": dict(MODEL),
        "training": {
            "task": "token-classification",
            "max_steps": 12,
            "learning_rate": 2e-2,
            "batch_tokens": 256,
            "num_evaluations": 3,
            "device": "cpu",
            "precision": "float32",
            **training,
        },
    }


def reviews_recipe(folder: Path, **training: object) -> dict:
    """A classifier's recipe as tables, with its file written into the folder."""
    return {
        "data": {"train": str(write_reviews(folder / "reviews.csv", 80))},
        "tokenizer": {"kind": "byte"},
        "model": dict(MODEL),
        "training": {
            "task": "sequence-classification",
            "epochs": 2,
            "learning_rate": 2e-2,
            "batch_size": 16,
            "num_evaluations": 2,
            "device": "cpu",
            "precision": "float32",
            **training,
        },
    }


def write_text(path: Path, characters: int, seed: int = 0) -> Path:
    """Running text of a few words, Chinese ones among them."""
    pick = random.Random(seed)
    words = ("the ", "river ", "北京 ", "runs ", "é\n")
    text = "".join(pick.choices(words, k=characters // 3))[:characters]
    path.write_text(text, encoding="utf-8")
    return path


def language_recipe(folder: Path, **training: object) -> dict:
    """A language model's recipe as tables, with its text written into the folder."""
    return {
        "data": {"train": str(write_text(folder / "text.txt", 6000)), "sequence_length": 128},
        "tokenizer": {"kind": "byte"},
        "model": dict(MODEL) | {"hidden_dropout_prob": 0.0},
        "training": {
            "task": "language-modelling",
            "max_steps": 12,
            "learning_rate": 1e-2,
            "batch_tokens": 512,
            "num_evaluations": 3,
            "device": "cpu",
            "precision": "float32",
            **training,
        },
    }


def masked_recipe(folder: Path, **training: object) -> dict:
    """A masked language model's recipe as tables, with its texts written into the folder."""
    labeller = ner_recipe(folder)
    return {
        "data": labeller["data"],
        "tokenizer": {"kind": "byte"},
        "model": dict(MODEL),
        "training": labeller["training"] | {"task": "masked-language-modelling", **training},
    }


def write_pairs(path: Path, count: int, seed: int = 0) -> Path:
    """Numbers and how they are read out, as a table of pairs."""
    pick = random.Random(seed)
    lines = ["source\ttarget"]
    for _ in range(count):
        number = str(pick.randrange(10, 10**5))
        lines.append(f"{number}\t{''.join('零一二三四五六七八九'[int(digit)] for digit in number)}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def pairs_recipe(folder: Path, **training: object) -> dict:
    """An encoder-decoder's recipe as tables, with its pairs written into the folder."""
    model = MODEL | {"cross_attention_layers": ["full", "lsh"], "max_position_embeddings": 24}
    return {
        "data": {
            "train": str(write_pairs(folder / "train.tsv", 60)),
            "test": str(write_pairs(folder / "test.tsv", 5, seed=1)),
        },
        "model": model,
        "training": {
            "task": "text-to-text",
            "max_steps": 8,
            "learning_rate": 2e-2,
            "batch_size": 8,
            "num_evaluations": 2,
            "device": "cpu",
            **training,
        },
    }


def write_questions(path: Path, count: int, seed: int = 0) -> Path:
    """Who has how much of what, and a question about one of them; one in five has no answer."""
    pick, lines = random.Random(seed), []
    for number in range(count):
        names = pick.sample("甲乙丙丁戊己", 4)
        says = {name: f"{pick.randrange(100)}{pick.choice('梨桃杏枣瓜')}" for name in names[:3]}
        document = "".join(f"{name}有{what}。" for name, what in says.items())
        asked = names[3] if number % 5 == 0 else pick.choice(names[:3])
        answer = [says[asked]] if asked in says else []
        start = [document.index(f"{asked}有") + 2] if answer else []
        record = {"question": f"{asked}有？", "context": document, "answers": {"text": answer, "answer_start": start}}
        lines.append(json.dumps(record, ensure_ascii=False))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_series(path: Path, rows: int, seed: int = 0) -> Path:
    """Two columns by the hour that turn with the day, one of them with noise and cells that are missing."""
    pick = random.Random(seed)
    start = datetime(2024, 1, 1)
    lines = ["when,load,heat"]
    for hour in range(rows):
        load = 10 + 3 * math.sin(2 * math.pi * hour / 24) + 2 * pick.random()
        heat = "" if pick.random() < 0.1 else f"{-5 + math.cos(2 * math.pi * hour / 24) + pick.random():.4f}"
        lines.append(f"{start + timedelta(hours=hour)},{load:.4f},{heat}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def series_recipe(folder: Path, **training: object) -> dict:
    """A forecaster's recipe as tables, with its series written into the folder."""
    return {
        "data": {
            "train": str(write_series(folder / "series.csv", 600)),
            "context_length": 96,
            "prediction_length": 12,
            "season_length": 24,
            "validation_fraction": 0.1,
            "test_fraction": 0.2,
        },
        "model": dict(MODEL) | {"patch_size": 4, "linear_context": 48, "quantiles": [0.1, 0.5, 0.9]},
        "training": {
            "task": "forecasting",
            "max_steps": 60,
            "learning_rate": 1e-2,
            "batch_size": 32,
            "num_evaluations": 3,
            "device": "cpu",
            **training,
        },
    }
