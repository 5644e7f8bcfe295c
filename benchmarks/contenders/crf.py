"""A linear-chain conditional random field over ordinary window features, the baseline of a labeller."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from benchmarks.case import Action, Contender, ContractError

ITERATIONS = 100
PENALTY = 0.1
"""Of both the sum of the weights and the sum of their squares."""

Features = list[str]

SPANS = ((-2,), (-1,), (0,), (1,), (2,), (-2, -1), (-1, 0), (0, 1), (1, 2), (-1, 1), (-1, 0, 1))
"""The characters of each feature, by their places from the one that is labelled."""


def crf(name: str) -> Contender:
    """sklearn-crfsuite on the paragraphs of `people-daily`, the split that every recipe trains on."""

    def build(paragraphs: int) -> dict[str, Action]:
        from reformer.data.index import load

        splits = {split: documents[:paragraphs] for split, documents in load("people-daily").items()}
        labeller = _labeller()
        return {
            "train": Action(lambda _: _train(labeller, splits["train"])),
            "label": Action(lambda _: _label(labeller, splits["test"])),
        }

    return Contender(name, "crf", build, _check)


def features(text: str) -> Iterator[Features]:
    """For each character: itself and two at either side, and the pairs and the triple around it."""
    padded = "\u0002\u0002" + text + "\u0003\u0003"
    for at in range(2, len(text) + 2):
        around = {place: padded[at + place] for place in range(-2, 3)}
        spans = ("".join(map(str, span)) + "=" + "".join(around[place] for place in span) for span in SPANS)
        yield ["bias", *spans, "kind=" + "".join(_kind(around[place]) for place in (-1, 0, 1))]


def _kind(character: str) -> str:
    if character.isdigit():
        return "9"
    if character.isascii() and character.isalpha():
        return "a"
    return "c" if character.isalpha() else "."


def tags(document: Any) -> list[str]:
    """A BIO tag for each character."""
    found = ["O"] * len(document.text)
    for span in document.spans:
        found[span.start : span.end] = [f"B-{span.label}"] + [f"I-{span.label}"] * (span.end - span.start - 1)
    return found


def _labeller() -> Any:
    import sklearn_crfsuite

    return sklearn_crfsuite.CRF(
        algorithm="lbfgs", c1=PENALTY, c2=PENALTY, max_iterations=ITERATIONS, all_possible_transitions=True
    )


def _train(labeller: Any, documents: Sequence[Any]) -> dict[str, Any]:
    # A generator: the features of the whole newspaper at once would need many gigabytes.
    sequences = (list(features(document.text)) for document in documents)
    labeller.fit(sequences, [tags(document) for document in documents])
    return {
        "paragraphs": len(documents),
        "characters": sum(len(document.text) for document in documents),
        "iterations": labeller.training_log_.last_iteration["num"] if labeller.training_log_ else ITERATIONS,
    }


def _label(labeller: Any, documents: Sequence[Any]) -> dict[str, Any]:
    # The scorer that `classification_report(mode="strict")` uses.
    from seqeval.metrics.v1 import precision_recall_fscore_support
    from seqeval.scheme import IOB2

    predicted = [list(labeller.predict_single(list(features(document.text)))) for document in documents]
    true = [tags(document) for document in documents]
    scores = cast(Any, precision_recall_fscore_support(true, predicted, average="micro", scheme=IOB2))
    precision, recall, f1, entities = scores
    return {
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "entities": int(entities),
        "paragraphs": len(documents),
        "characters": sum(len(document.text) for document in documents),
    }


def _check() -> str:
    """It learns by heart three sentences."""
    from reformer.data.documents import Document, Span

    documents = [
        Document("我去北京", "a", spans=(Span(2, 4, "LOC"),)),
        Document("江泽民来了", "b", spans=(Span(0, 3, "PER"),)),
        Document("他不在上海", "c", spans=(Span(3, 5, "LOC"),)),
    ]
    labeller = _labeller()
    _train(labeller, documents)
    f1 = _label(labeller, documents)["f1"]
    if f1 < 1:
        raise ContractError(f"F1 {f1:.2f} on the three sentences it was trained on, expected 1")
    return "F1 1.00 on three sentences it was trained on"
