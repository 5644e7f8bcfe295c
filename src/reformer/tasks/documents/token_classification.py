"""Token classification: entities in a text."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from reformer.data import IGNORED, DataError, Document, Span, bio_labels, decode_spans, label_id, token_tags
from reformer.data.batching.encoding import Augmentation, Examples, Offsets
from reformer.errors import ReformerError
from reformer.metrics.base import Metric
from reformer.metrics.classification import EntityMetric
from reformer.models import ReformerForTokenClassification
from reformer.recipe import Recipe, TrainingRecipe
from reformer.tasks.documents.recombination import Recombination
from reformer.tasks.documents.task import Answer, DocumentTask
from reformer.tasks.documents.viterbi import best_tags


class TokenClassification(DocumentTask):
    """Entities in a text: one BIO tag a token, scored as whole entities."""

    head = ReformerForTokenClassification
    best_metric = "f1"
    recipe_fields = DocumentTask.recipe_fields | {
        "model.classifier_crf",
        "training.answer_types",
        "training.recombination",
        "training.recombined_types",
    }

    def check_recipe(self, recipe: Recipe) -> None:
        super().check_recipe(recipe)
        if recipe.training.recombined_types is not None and recipe.training.recombination is None:
            raise ValueError("training.recombined_types without training.recombination, the probability; give both")

    def labels(self, documents: Iterable[Document]) -> list[str]:
        types = {span.label for document in documents for span in document.spans or ()}
        if not types:
            raise DataError(
                None,
                None,
                "the training documents have no entity at all",
                "give CoNLL tags or JSONL with spans; for one label a text, training.task is sequence-classification",
            )
        return bio_labels(types)

    def target(self, document: Document, offsets: Offsets, label_ids: dict[str, int]) -> np.ndarray:
        return np.array(token_tags(self._spans(document), offsets, label_ids, document.source), dtype=np.int64)

    def stack(self, targets: Sequence[np.ndarray], length: int) -> Int[Tensor, "batch length"]:
        stacked = np.full((len(targets), length), IGNORED, dtype=np.int64)
        for row, target in zip(stacked, targets, strict=True):
            row[: len(target)] = target
        return torch.from_numpy(stacked)

    def augmentation(self, examples: Examples, labels: Sequence[str], recipe: TrainingRecipe) -> Augmentation | None:
        if recipe.recombination is None:
            return None
        _check_types("recombined_types", recipe.recombined_types, labels)
        return Recombination(examples, labels, recipe.recombination, recipe.recombined_types)

    def new_metric(self, labels: Sequence[str], recipe: TrainingRecipe) -> EntityMetric:
        _check_types("answer_types", recipe.answer_types, labels)
        return EntityMetric(labels, recipe.answer_types)

    def count(self, score: Metric, answer: Answer, document: Document) -> None:
        assert isinstance(score, EntityMetric)
        assert answer.spans is not None
        true = self._spans(document)
        for span in true:
            label_id(span.label, score.known, document.source)
        score.update_spans(answer.spans, true)

    def answer(self, logits: np.ndarray, offsets: Offsets, text: str, labels: Sequence[str]) -> Answer:
        tags = [labels[int(number)] for number in self.numbers(logits, labels)]
        return Answer(spans=tuple(decode_spans(tags, offsets, text)))

    def numbers(self, logits: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        return best_tags(logits, labels)

    @staticmethod
    def _spans(document: Document) -> tuple[Span, ...]:
        if document.spans is None:
            raise DataError.at(
                document.source,
                "nothing says which entities this text has",
                'give CoNLL tags, or "spans" in JSONL, an empty list where there are none',
            )
        return document.spans


def _check_types(field: str, types: Sequence[str] | None, labels: Sequence[str]) -> None:
    known = sorted({label[2:] for label in labels} - {""})
    unknown = sorted(set(types or ()) - set(known))
    if unknown:
        raise ReformerError(
            f"training.{field}: the training documents have no {', '.join(map(repr, unknown))}; they have "
            f"{', '.join(map(repr, known))}"
        )
