"""Sequence classification: one label for a whole text."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from reformer.baselines.ngram_classifier import Budget, NgramClassifier, code_points
from reformer.data import DataError, Document, label_id
from reformer.data.batching.encoding import Examples, Offsets
from reformer.data.characters import token_characters
from reformer.data.labels import composed_label, joining_separator
from reformer.metrics.base import Metric
from reformer.metrics.classification import ClassMetric
from reformer.metrics.review import Review
from reformer.models import ReformerForSequenceClassification
from reformer.recipe import TrainingRecipe
from reformer.tasks.balance import BalancedTrainingRecipe, balanced_weights
from reformer.tasks.base import Run, Task
from reformer.tasks.document_splits import Splits
from reformer.tasks.documents.answer import DocumentAnswer
from reformer.tasks.documents.document_recipe import DocumentDataRecipe, DocumentRecipe
from reformer.tasks.documents.review import review_class
from reformer.tasks.documents.task import WIDE, ClassicalModel, DocumentTask
from reformer.wording import counted

CHARACTERS = (1, 2, 3)
"""Lengths of the n-grams that the classical method reads."""


SEVERAL = "multi_label_classification"


class ClassDataRecipe(DocumentDataRecipe, frozen=True):
    """Documents with a class, or with several labels each."""

    label_separator: str | None = Field(
        None,
        min_length=1,
        description="with training.problem_type for several labels: what stands between those of a text in a table, "
        "such as |; in JSONL they may be a list",
    )

    @property
    def label_split(self) -> str | None:
        return self.label_separator


class ClassTrainingRecipe(BalancedTrainingRecipe, frozen=True):
    """Training of a classifier of texts."""

    problem_type: Literal["single_label_classification", "multi_label_classification"] | None = Field(
        None,
        description="multi_label_classification: a text has any number of labels; none: exactly one",
    )


class ClassRecipe(DocumentRecipe, frozen=True):
    """Recipe of sequence classification."""

    data: ClassDataRecipe
    training: ClassTrainingRecipe


class SequenceClassification(DocumentTask):
    """One label for a whole text."""

    head = ReformerForSequenceClassification
    best_metric = "macro_f1"
    recipe_type = ClassRecipe
    cross_fits = True
    predict_options = DocumentTask.predict_options | {"scores"}
    model_options = frozenset({"classifier_pooling", "special_tokens", *WIDE})

    def __init__(self, several: Task | None = None) -> None:
        """
        Args:
            several: the task where a text may have several labels.
        """
        self._several = several

    def for_recipe(self, recipe: ClassRecipe) -> Task:
        return self._several if self._several is not None and recipe.training.problem_type == SEVERAL else self

    def check_recipe(self, recipe: ClassRecipe) -> None:
        super().check_recipe(recipe)
        several = recipe.training.problem_type == SEVERAL
        if recipe.data.label_separator is not None and not several:
            raise ValueError(
                f'data.label_separator: a text has one label here; set training.problem_type = "{SEVERAL}", too'
            )
        if several and recipe.training.sampling is not None:
            raise ValueError(
                f'training.sampling = "{recipe.training.sampling}": a text with several labels is of no one class; '
                'set training.class_weights = "balanced" instead'
            )
        if several and recipe.model.get("label_smoothing"):
            raise ValueError("model.label_smoothing: of several labels none is a class to take from; leave it out")

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
        metric.update_named(answer.label, self._label(document))

    def new_review(self, run: Run[Any]) -> Review:
        return Review(run.labels)

    def count_in_review(self, review: Review, answer: DocumentAnswer, document: Document) -> None:
        assert answer.label is not None
        assert answer.scores is not None
        review_class(review, document, answer.scores, answer.label, self._label(document))

    def warnings(self, documents: Iterable[Document], recipe: ClassRecipe) -> Iterator[str]:
        labels = [self._label(document) for document in documents]
        separator, told = joining_separator(labels), ""
        if separator is not None:
            told = f"most labels hold {separator!r}"
        elif (composed := composed_label(labels)) is not None:
            label, separator = composed
            told = f"the label {label!r} is others with {separator!r} between them"
        if told:
            yield (
                f"{told}, as if a text had several; each is learned as one class of its own. "
                f'For several labels set training.problem_type = "{SEVERAL}" and data.label_separator = "{separator}"'
            )

    def data_weights(self, examples: Examples, recipe: ClassTrainingRecipe) -> Float[Tensor, "2 labels"] | None:
        return None if recipe.class_weights is None else balanced_weights(_labels_of(examples))

    def sampling_groups(self, examples: Examples, recipe: ClassTrainingRecipe) -> Int[np.ndarray, " examples"] | None:
        return None if recipe.sampling is None else _labels_of(examples)

    def answer(
        self, logits: Float[np.ndarray, " labels"], offsets: Offsets, text: str, labels: Sequence[str]
    ) -> DocumentAnswer:
        weights = np.exp(logits.astype(np.float64) - logits.max())
        scores = dict(zip(labels, (weights / weights.sum()).tolist(), strict=True))
        return DocumentAnswer(label=max(scores, key=scores.__getitem__), scores=scores)

    def fit_classical(
        self, splits: Splits, labels: Sequence[str], recipe: DocumentRecipe, *, effort: float = 1.0
    ) -> ClassicalModel:
        ids = {label: number for number, label in enumerate(labels)}

        def texts(documents: Sequence[Document]) -> list[Int[np.ndarray, " _"]]:
            return [code_points(document.text) for document in documents]

        def classes(documents: Sequence[Document]) -> Int[np.ndarray, "documents *labels"]:
            return np.array([self.target(document, (), ids) for document in documents])

        held_out = texts(splits.validation), classes(splits.validation)
        model = NgramClassifier.fit(
            texts(splits.train),
            classes(splits.train),
            held_out,
            num_labels=len(labels),
            sizes=CHARACTERS,
            budget=Budget().times(effort),
        )
        fewer = model.learned_from < len(splits.train)
        note = f"learned from {model.learned_from:,} of {counted(len(splits.train), 'document')}" if fewer else None

        def answers(documents: Sequence[Document]) -> Iterator[DocumentAnswer]:
            for document, row in zip(documents, model.logits(texts(documents)), strict=True):
                yield self.answer(row, (), document.text, labels)

        method = "logistic regression over tf-idf of 1 to 3 characters"
        return ClassicalModel(method, note, model.learned_from, answers)

    @torch.no_grad()
    def fit_wide(
        self,
        model: ReformerForSequenceClassification,
        train: Examples,
        validation: Examples,
        recipe: TrainingRecipe,
        tokenizer: PreTrainedTokenizerFast,
    ) -> Float[np.ndarray, "examples labels"]:
        wide, config = model.wide, model.config
        assert wide is not None
        if wide.spelling is not None:
            wide.spelling.copy_(torch.from_numpy(token_characters(tokenizer, *wide.spelling.shape)))
        read, labels = _read_and_labels(wide, train)
        found = NgramClassifier.fit(
            read,
            labels,
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
        return found.cross_fitted_logits(read, labels).astype(np.float32)

    @staticmethod
    def _label(document: Document) -> str:
        if document.label is None:
            if document.labels is None:
                raise DataError.at(document.source, "this text has no label", "give it one, and check label_column")
            if len(document.labels) != 1:
                raise DataError.at(
                    document.source,
                    f"this text has {counted(len(document.labels), 'label')}",
                    f'set training.problem_type = "{SEVERAL}", or give each text one',
                )
            return document.labels[0]
        return document.label


def _read_and_labels(
    wide: Any, examples: Examples
) -> tuple[list[Int[np.ndarray, " _"]], Int[np.ndarray, "examples *labels"]]:
    """What the wide part reads of each example, and the examples' labels."""
    read = []
    for number in range(len(examples)):
        ids = torch.from_numpy(examples[number].ids.astype(np.int64))[None].to(wide.table.device)
        found, text = wide.read(ids, torch.ones_like(ids, dtype=torch.bool))
        read.append(found[text].cpu().numpy())
    return read, _labels_of(examples)


def _labels_of(examples: Examples) -> Int[np.ndarray, "examples *labels"]:
    return np.stack([examples[number].target for number in range(len(examples))])
