"""Multi-label classification: any number of labels for a whole text."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from reformer.data import DataError, Document, label_id
from reformer.data.batching.encoding import Examples, Offsets
from reformer.metrics.base import Metric
from reformer.metrics.calibration import Calibration, best_threshold
from reformer.metrics.classification import MultiLabelMetric
from reformer.metrics.review import Review
from reformer.recipe import TrainingRecipe
from reformer.tasks.documents.answer import THRESHOLD, DocumentAnswer
from reformer.tasks.documents.review import review_labels
from reformer.tasks.documents.sequence_classification import SEVERAL, SequenceClassification


class MultiLabelClassification(SequenceClassification):
    """Any number of labels for a whole text: sequence classification with this problem type."""

    model_fields: ClassVar[Mapping[str, Any]] = {"problem_type": SEVERAL}

    def check_document(self, document: Document) -> None:
        self._labels(document)

    def labels(self, documents: Iterable[Document]) -> list[str]:
        labels = sorted({label for document in documents for label in self._labels(document)})
        if not labels:
            raise DataError(
                None,
                None,
                "no training document has a label",
                "give lists of labels in JSONL, or name data.label_separator, and check label_column",
            )
        return labels

    def target(self, document: Document, offsets: Offsets, label_ids: dict[str, int]) -> Int[np.ndarray, " labels"]:
        target = np.zeros(len(label_ids), dtype=np.int64)
        target[[label_id(label, label_ids, document.source) for label in self._labels(document)]] = 1
        return target

    def stack(self, targets: Sequence[Int[np.ndarray, " labels"]], length: int) -> Int[Tensor, "batch labels"]:
        return torch.from_numpy(np.stack(targets))

    def new_metric(self, labels: Sequence[str], recipe: TrainingRecipe) -> MultiLabelMetric:
        return MultiLabelMetric(labels)

    def count(self, metric: Metric, answer: DocumentAnswer, document: Document) -> None:
        assert isinstance(metric, MultiLabelMetric)
        assert answer.labels is not None
        ids = {label: index for index, label in enumerate(metric.labels)}
        given = self.target(replace(document, labels=answer.labels), (), ids)
        metric.update(given[None], self.target(document, (), ids)[None])

    def count_in_review(self, review: Review, answer: DocumentAnswer, document: Document) -> None:
        assert answer.labels is not None
        assert answer.scores is not None
        review_labels(review, document, answer.scores, answer.labels, self._labels(document))

    def answer(
        self, logits: Float[np.ndarray, " labels"], offsets: Offsets, text: str, labels: Sequence[str]
    ) -> DocumentAnswer:
        scores = dict(zip(labels, (1 / (1 + np.exp(-logits.astype(np.float64)))).tolist(), strict=True))
        given = tuple(label for label, score in scores.items() if score >= THRESHOLD)
        return DocumentAnswer(labels=given, scores=scores)

    def predicted_ids(self, logits: Float[np.ndarray, " labels"], labels: Sequence[str]) -> Int[np.ndarray, " labels"]:
        return (logits >= 0).astype(np.int64)

    def calibrated_on(self, reviewed: Review) -> Calibration:
        calibration = reviewed.fit()
        rows, right = reviewed.answers()
        scores = calibration.of_each(rows)[:, 0].reshape(-1, len(reviewed.names))
        has = (right == 0).reshape(scores.shape)
        chosen = {name: best_threshold(scores[:, number], has[:, number]) for number, name in enumerate(reviewed.names)}
        return replace(calibration, thresholds={name: value for name, value in chosen.items() if value is not None})

    def data_weights(self, examples: Examples, recipe: Any) -> Float[Tensor, "2 labels"] | None:
        if recipe.class_weights is None:
            return None
        targets = np.stack([examples[number].target for number in range(len(examples))])
        counts = np.stack((len(targets) - targets.sum(0), targets.sum(0)))
        return torch.from_numpy(len(targets) / (2 * np.maximum(counts, 1))).float()

    def warnings(self, documents: Iterable[Document], recipe: Any) -> Iterator[str]:
        several = sum(len(self._labels(document)) > 1 for document in documents)
        if not several:
            yield "no training document has more than one label; name data.label_separator if a cell holds several"

    @staticmethod
    def _labels(document: Document) -> tuple[str, ...]:
        if document.labels is not None:
            return document.labels
        if document.label is None:
            raise DataError.at(
                document.source,
                "nothing says which labels this text has",
                "give it a list, an empty one where there are none, and check label_column",
            )
        return (document.label,)
