"""A labeller and a classifier of long documents, each read in several manners: score, time and memory."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.case import Action, Contender, ContractError
from benchmarks.contenders.fine_tuning import Facts, Tables, trained
from benchmarks.reading import (
    PIECE,
    POSITIONS,
    Manner,
    agreements,
    encoded_whole,
    entities,
    fields,
    loaded,
    logits,
    merged,
    short_mentions,
)
from reformer.data import Document

LENGTHS = [4 << 10, 32 << 10, 100 << 10]
"""Tokens of the texts whose reading is timed. Models are trained and documents scored beside the first; at a smaller
one, to see that the case works, with few steps and few documents."""
LAYERS = 6
CHARACTERS = 4000
"""Of a long document."""

SLIDING, WINDOWS, FULL = (
    Manner("sliding pieces", "full", PIECE // 2),
    Manner("windows", "local"),
    Manner("full attention", "full"),
)
HASHES = Manner("windows and hashes", "local+lsh")

MANNERS = {
    "entities": (
        Manner("pieces", "full", PIECE),
        *(SLIDING, WINDOWS, HASHES, FULL),
        *(replace(manner, learned=True) for manner in (SLIDING, WINDOWS, HASHES, FULL)),
    ),
    "evidence at the end": (
        Manner("first piece", "full", PIECE, pieces=1),
        *(SLIDING, WINDOWS),
        *(replace(manner, learned=True) for manner in (SLIDING, WINDOWS, FULL)),
    ),
}
"""Manners of a labeller of entities, and of a classifier of documents whose label follows from their last lines."""

MODELS = {"entities": "labeller", "evidence at the end": "classifier"}
TASKS = {"entities": "token-classification", "evidence at the end": "sequence-classification"}
READS = {"entities": {"classifier_reads": "characters"}, "evidence at the end": {"classifier_pooling": "attention"}}
SCORES = {"entities": "f1", "evidence at the end": "accuracy"}
SHORT = {"entities": 680, "evidence at the end": 0}
"""Characters of the documents that a model learns from first; of the newspaper alone, 0 for one paragraph."""
STEPS = {"entities": 300, "evidence at the end": 250}
LONG_STEPS = {"entities": 16, "evidence at the end": 32}
"""In which a model then learns a manner, from one long document each, or from as many tokens in pieces."""
TEST_DOCUMENTS = 80
"""Of those with their evidence at the end."""


def long_reading(family: str) -> list[Contender]:
    """The training of a family's models, then its manners of reading."""

    def training(length: int) -> dict[str, Action]:
        return {"train": Action(lambda _: _train(family, length < LENGTHS[0]))}

    check, longest = partial(_check_recipes, family), {"score": 0, "read": 0, "train": LENGTHS[0]}
    first = Contender(f"{family}: training", family, training, check, {"manner": "training"}, longest)
    return [first, *(_reading(family, manner) for manner in MANNERS[family])]


def _reading(family: str, manner: Manner) -> Contender:
    def build(length: int) -> dict[str, Action]:
        small = length < LENGTHS[0]
        run = loaded(_folder(small) / _model(family, manner), manner.kind)
        score = _score_entities if family == "entities" else _score_classes
        return {
            "score": Action(partial(score, run, manner), lambda: _test_documents(family, small)),
            "read": Action(partial(_read, run, manner), lambda: _text(run, length)),
        }

    # Full attention over 100k tokens takes many minutes; no time hangs on the weights.
    read = LENGTHS[1] if manner == FULL else LENGTHS[2]
    longest = {"train": 0, "score": LENGTHS[0], "read": read if family == "entities" and not manner.learned else 0}
    name = f"{family}: {manner.name}{', learned' * manner.learned}"
    options = {"manner": manner.name, "learned": manner.learned}
    return Contender(name, family, build, partial(_check, manner), options, longest)


def _folder(small: bool) -> Path:
    from benchmarks.machine import ROOT

    return ROOT / "build" / "benchmarks" / ("reading-small" if small else "reading")


def _model(family: str, manner: Manner) -> str:
    """The folder of the weights that a manner reads with."""
    return MODELS[family] + f"-{manner.name.replace(' ', '-')}" * manner.learned


def _start(small: bool) -> Path:
    """The six lower layers of multilingual-e5-small, with positions for long texts."""
    from reformer.tasks.conversion import convert_to_folder

    folder = _folder(small) / "start"
    if not folder.exists():
        convert_to_folder("index:multilingual-e5-small", folder, length=POSITIONS, layers=LAYERS)
    return folder


def tables(family: str, data: Tables, start: Path, *, first: bool, **training: Any) -> Tables:
    """The recipe of a family's model; the `first` one begins with what was pretrained, with a new head."""
    return {
        "data": data,
        "tokenizer": {"kind": "start", **({"vocabulary": "used"} if first else {})},
        "model": {"hidden_dropout_prob": 0.1, **(READS[family] if first else {})},
        "finetune": {"start_from": str(start), "freeze": ["embeddings"], "head_learning_rate": 2e-3 if first else 1e-3},
        "training": {
            "task": TASKS[family],
            "learning_rate": 3e-4 if first else 1e-4,
            "warmup_ratio": 0.08,
            "batch_tokens": 1024,
            "num_evaluations": 1,
            "baseline": "none",
            **training,
        },
    }


def _train(family: str, small: bool) -> Facts:
    """Learn with full attention from short documents; then learn each manner from long ones."""
    from reformer.data import load_tokenizer

    folder, steps = _folder(small), 4 if small else STEPS[family]
    data = _written(folder / f"{MODELS[family]}-data", family, SHORT[family], small)
    recipe = tables(family, data, _start(small), first=True, max_steps=steps)
    facts = {"start": trained(recipe, folder / MODELS[family], SCORES[family])}
    for manner in (each for each in MANNERS[family] if each.learned):
        start, model = folder / MODELS[family], folder / _model(family, manner)
        long = CHARACTERS if manner.step is None or family != "entities" else SHORT[family]
        cut = None if manner.step is None or family == "entities" else partial(pieces, load_tokenizer(start))
        data = _written(model.with_name(f"{model.name}-data"), family, long, small, cut)
        steps, batch = 2 if small else LONG_STEPS[family], 6 * (PIECE + 2)
        recipe = tables(family, data, start, first=False, max_steps=steps, batch_tokens=batch)
        recipe["model"] |= fields(manner.kind, LAYERS)
        facts[manner.name] = trained(recipe, model, SCORES[family])
    return facts


def documents_of(family: str, part: str, characters: int) -> Iterable[Document]:
    """Documents of a part of the data, of the first 5 % of the newspaper in train, or each with a review at its end."""
    from reformer.data import join_documents, load
    from reformer.tasks.document_splits import first_part

    paragraphs = load("people-daily")[part]
    if family != "entities":
        return ended(paragraphs, load("chinese-reviews")[part], characters)
    return join_documents(first_part(paragraphs, 0.05) if part == "train" else paragraphs, characters)


def ended(paragraphs: Sequence[Document], reviews: Iterable[Document], characters: int) -> Iterator[Document]:
    """Documents that have the label of the review they end with, after paragraphs of about so many characters together,
    or after a single one for 0."""
    from reformer.data import join_documents

    before = cycle(join_documents(paragraphs, characters) if characters else paragraphs)
    for news, review in zip(before, reviews, strict=False):
        yield Document(f"{news.text}\n{review.text}", review.id, label=review.label)


def pieces(tokenizer: Any, document: Document) -> Iterator[Document]:
    """Pieces of a document that do not overlap, as documents of its label."""
    encoded = encoded_whole(document, tokenizer)
    for number, (start, end) in enumerate(Manner("pieces", "full", PIECE).spans(len(encoded.ids) - 2)):
        begins, ends = encoded.offsets[start + 1][0], encoded.offsets[end][1]
        yield Document(document.text[begins:ends], f"{document.id}[{number}]", label=document.label)


def _written(
    folder: Path, family: str, characters: int, small: bool, cut: Callable[[Document], Iterable[Document]] | None = None
) -> Tables:
    """Training and validation documents as files, cut to pieces if that is asked for; what a recipe says of them."""
    folder.mkdir(exist_ok=True, parents=True)
    # For long documents, as many as the steps read once; validation chooses nothing, as there is one evaluation.
    counts = {"train": LONG_STEPS[family] if characters == CHARACTERS else None, "validation": 12}
    for part, count in counts.items():
        found = islice(documents_of(family, part, characters), 4 if small else count)
        with (folder / f"{part}.jsonl").open("w", encoding="utf-8") as file:
            for each in chain.from_iterable(map(cut, found)) if cut else found:
                told = {"label": each.label} if each.spans is None else {"spans": [asdict(span) for span in each.spans]}
                file.write(json.dumps({"text": each.text} | told, ensure_ascii=False) + "\n")
    return {part: str(folder / f"{part}.jsonl") for part in counts}


def _test_documents(family: str, small: bool) -> list[Document]:
    count = None if family == "entities" else TEST_DOCUMENTS
    return list(islice(documents_of(family, "test", CHARACTERS), 3 if small else count))


def _score_entities(run: Any, manner: Manner, documents: Sequence[Document]) -> Facts:
    every, short = (run.task.new_metric(run.labels, run.recipe.training) for _ in range(2))
    agreed: list[bool] = []
    for document in documents:
        found, named, text = entities(run, manner, document), document.spans or (), document.text
        every.update_spans(found, named)
        short.update_spans(short_mentions(found, named, text), short_mentions(named, named, text))
        agreed += agreements(found, named, text)
    scores, of_short = every.result(), short.result()
    return {
        "f1": scores["f1"],
        "short f1": of_short["f1"],
        "short recall": of_short["recall"],
        "short mentions": int(short.counts[:, 2].sum()),
        "consistent": float(np.mean(agreed)),
        "mentions again": len(agreed),
        "entities": int(every.counts[:, 2].sum()),
        "documents": len(documents),
    }


def _score_classes(run: Any, manner: Manner, documents: Sequence[Document]) -> Facts:
    metric = run.task.new_metric(run.labels, run.recipe.training)
    for document in documents:
        row = np.mean([row for _, row in logits(run, document, manner)], axis=0)
        run.task.count(metric, run.task.answer(row, (), document.text, run.labels), document)
    return {"accuracy": metric.result()["accuracy"], "documents": len(documents)}


def _text(run: Any, length: int) -> Document:
    """The newspaper's test part, again and again, up to so many tokens, special ones included."""
    from reformer.data import load

    text = "\n".join(document.text for document in load("people-daily")["test"])
    text *= 1 + 2 * length // len(text)
    tokens = run.tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)["offset_mapping"]
    return Document(text[: tokens[length - 3][1]], "text")


def _read(run: Any, manner: Manner, document: Document) -> Facts:
    return {"entities": len(entities(run, manner, document)), "characters": len(document.text)}


def _check(manner: Manner) -> str:
    """Pieces cover the text, overlapping ones with a piece's quarter to either side of what is taken from them."""
    length = CHARACTERS
    spans = manner.spans(length)
    if manner.pieces is not None:
        return f"reads {spans[-1][1]} of {length} tokens"
    if manner.step is None:
        return "reads the whole text at once"
    to_cut = [(a, np.minimum(*(np.abs(np.arange(a, b) - cut) for cut in (a, b - 1)))) for a, b in spans]
    least = int(merged(to_cut, length)[PIECE // 4 : -PIECE // 4].min())
    if (least >= PIECE // 4 - 1) != (manner.step != PIECE):
        raise ContractError(f"a token is read {least} tokens from a cut")
    return f"in {len(spans)} pieces every token within the text is read at least {least} tokens from a cut"


def _check_recipes(family: str) -> str:
    from reformer.tasks.recipe_checks import checked_recipe

    data = {"source": "index:people-daily"}
    each = [checked_recipe(tables(family, data, Path("start"), first=first, epochs=1)) for first in (True, False)]
    return f"{len(each)} recipes of {TASKS[family]}"
