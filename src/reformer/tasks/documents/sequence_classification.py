"""Sequence classification: one label for a whole text."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from reformer.baselines.ngram_classifier import NgramClassifier, code_points
from reformer.data import DataError, Document, label_id
from reformer.data.batching.encoding import Examples, Offsets
from reformer.data.characters import token_characters
from reformer.metrics.base import Metric
from reformer.metrics.classification import ClassMetric
from reformer.models import ReformerForSequenceClassification
from reformer.recipe import TrainingRecipe
from reformer.tasks.document_splits import Splits
from reformer.tasks.documents.task import WIDE, ClassicalModel, DocumentAnswer, DocumentRecipe, DocumentTask

CHARACTERS = (1, 2, 3)
"""Lengths of the n-grams that the classical method reads."""


class SequenceClassification(DocumentTask):
    """One label for a whole text."""

    head = ReformerForSequenceClassification
    best_metric = "macro_f1"
    model_options = frozenset({"classifier_pooling", "special_tokens", *WIDE})

    def check_document(self, document: Document) -> None:
        self._label(document)

    def labels(self, documents: Iterable[Document]) -> list[str]:
        labels = sorted({self._label(document) for document in documents})
        if len(labels) < 2:
            raise DataError(
                None,
                None,
                f"every training document has the label {', '.join(map(repr, labels))}",
                "give documents of at least two labels, and check label_column",
            )
        return labels

    def target(self, document: Document, offsets: Offsets, label_ids: dict[str, int]) -> Int[np.ndarray, ""]:
        return np.array(label_id(self._label(document), label_ids, document.source), dtype=np.int64)

    def stack(self, targets: Sequence[Int[np.ndarray, ""]], length: int) -> Int[Tensor, " batch"]:
        return torch.from_numpy(np.stack(targets))

    def new_metric(self, labels: Sequence[str], recipe: TrainingRecipe) -> ClassMetric:
        return ClassMetric(labels)

    def count(self, metric: Metric, answer: DocumentAnswer, document: Document) -> None:
        assert isinstance(metric, ClassMetric)
        assert answer.label is not None
        ids = {label: index for index, label in enumerate(metric.labels)}
        metric.update(np.array([ids[answer.label]]), self.target(document, (), ids)[None])

    def answer(
        self, logits: Float[np.ndarray, " labels"], offsets: Offsets, text: str, labels: Sequence[str]
    ) -> DocumentAnswer:
        weights = np.exp(logits.astype(np.float64) - logits.max())
        scores = dict(zip(labels, (weights / weights.sum()).tolist(), strict=True))
        return DocumentAnswer(label=max(scores, key=scores.__getitem__), scores=scores)

    def fit_classical(self, splits: Splits, labels: Sequence[str], recipe: DocumentRecipe) -> ClassicalModel:
        ids = {label: number for number, label in enumerate(labels)}

        def texts(documents: Sequence[Document]) -> list[Int[np.ndarray, " _"]]:
            return [code_points(document.text) for document in documents]

        def classes(documents: Sequence[Document]) -> Int[np.ndarray, " documents"]:
            return np.array([self.target(document, (), ids) for document in documents])

        held_out = texts(splits.validation), classes(splits.validation)
        model = NgramClassifier.fit(
            texts(splits.train), classes(splits.train), held_out, num_labels=len(labels), sizes=CHARACTERS
        )
        fewer = model.learned_from < len(splits.train)
        note = f"learned from {model.learned_from:,} of {len(splits.train):,} documents" if fewer else None

        def answers(documents: Sequence[Document]) -> Iterator[DocumentAnswer]:
            for document, row in zip(documents, model.logits(texts(documents)), strict=True):
                yield self.answer(row, (), document.text, labels)

        return ClassicalModel("logistic regression over tf-idf of 1 to 3 characters", note, answers)

    @torch.no_grad()
    def fit_wide(
        self,
        model: ReformerForSequenceClassification,
        train: Examples,
        validation: Examples,
        recipe: TrainingRecipe,
        tokenizer: PreTrainedTokenizerFast,
    ) -> None:
        wide, config = model.wide, model.config
        assert wide is not None
        if wide.spelling is not None:
            wide.spelling.copy_(torch.from_numpy(token_characters(tokenizer, *wide.spelling.shape)))
        found = NgramClassifier.fit(
            *_read_and_labels(wide, train),
            _read_and_labels(wide, validation),
            num_labels=len(wide.bias),
            sizes=config.wide_sizes,
            rows=config.wide_rows,
        )
        wide.table.zero_()
        wide.table[found.kept] = torch.from_numpy(found.classifier.coefficients).to(wide.table)
        wide.frequencies.copy_(torch.from_numpy(found.frequencies))
        wide.bias.copy_(torch.from_numpy(found.classifier.bias))
        model.classifier.weight.zero_()
        model.classifier.bias.zero_()

    @staticmethod
    def _label(document: Document) -> str:
        if document.label is None:
            raise DataError.at(document.source, "this text has no label", "give it one, and check label_column")
        return document.label


def _read_and_labels(wide: Any, examples: Examples) -> tuple[list[Int[np.ndarray, " _"]], Int[np.ndarray, " examples"]]:
    """What the wide part reads of each example, and the examples' labels."""
    read = []
    for number in range(len(examples)):
        ids = torch.from_numpy(examples[number].ids.astype(np.int64))[None].to(wide.table.device)
        found, text = wide.read(ids, torch.ones_like(ids, dtype=torch.bool))
        read.append(found[text].cpu().numpy())
    return read, np.array([int(examples[number].target) for number in range(len(examples))])
