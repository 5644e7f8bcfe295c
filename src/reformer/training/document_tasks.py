"""What can be learned from documents: each task's labels, targets, score and answer."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from reformer.data import (
    IGNORED,
    DataError,
    Document,
    Span,
    bio_labels,
    decode_spans,
    label_id,
    read_documents,
    token_tags,
)
from reformer.data.errors import OnError
from reformer.errors import ReformerError
from reformer.models import ReformerForSequenceClassification, ReformerForTokenClassification
from reformer.training.decoding import best_tags
from reformer.training.document_material import DocumentMaterial
from reformer.training.examples import Augmentation, Examples, Offsets
from reformer.training.material import AnsweringTask, Asked, read_files
from reformer.training.metrics import ClassScore, EntityScore, Score
from reformer.training.predict import as_json, evaluate, predict
from reformer.training.recipe import Recipe, TrainingRecipe
from reformer.training.recombination import Recombination
from reformer.training.splits import joined, read_source
from reformer.training.start import Start

if TYPE_CHECKING:
    from reformer.training.run import Run


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says of one document: its entities, or its class with every class's probability."""

    spans: tuple[Span, ...] | None = None
    label: str | None = None
    scores: dict[str, float] | None = None

    def of_types(self, types: Sequence[str] | None) -> "Answer":
        """Without the entities of other types; all of them if None."""
        return self if self.spans is None else replace(self, spans=spans_of_types(self.spans, types))


def spans_of_types(spans: Iterable[Span], types: Sequence[str] | None) -> tuple[Span, ...]:
    """The spans of these types; all of them if None."""
    return tuple(span for span in spans if types is None or span.label in types)


class DocumentTask(AnsweringTask):
    """A way to learn from documents and to answer about new ones; training, evaluation and prediction follow."""

    own_fields = frozenset({"data.format", "data.text_column", "data.label_column", "data.max_length"})
    asks = frozenset({"format", "text_column", "label_column", "split", "text"})

    def answers(
        self, run: "Run[DocumentTask]", files: Iterable[str], asked: Asked, on_error: OnError
    ) -> Iterator[dict[str, Any]]:
        text_column = asked.text_column or run.recipe.data.text_column or "text"

        def read(file: str) -> Iterable[Document]:
            return read_documents(
                file, format=asked.format, text_column=text_column, label_column=None, on_error=on_error
            )

        for document, answer in predict(run, read_files(files, read, on_error), on_error):
            yield as_json(document, answer, with_text=asked.text is not False)

    def evaluate(self, run: "Run[DocumentTask]", source: str, asked: Asked) -> dict[str, float]:
        recipe = run.recipe.data
        documents = read_source(
            source,
            recipe,
            split=asked.split,
            format=asked.format,
            text_column=asked.text_column,
            label_column=asked.label_column,
        )
        return evaluate(run, joined(documents, recipe))

    def prepare(self, recipe: Recipe, start: Start | None = None) -> DocumentMaterial:
        return DocumentMaterial(self, recipe, start)

    @abstractmethod
    def labels(self, documents: Iterable[Document]) -> list[str]:
        """The labels that the documents teach, in the order of the model's outputs."""

    @abstractmethod
    def target(self, document: Document, offsets: Offsets, label_ids: dict[str, int]) -> np.ndarray:
        """What the model should say of a document; a `DataError` if the document does not tell, or not this."""

    @abstractmethod
    def stack(self, targets: Sequence[np.ndarray], length: int) -> Int[Tensor, "batch ..."]:
        """The targets of documents that are padded to `length` tokens."""

    @abstractmethod
    def score(self, labels: Sequence[str], recipe: TrainingRecipe) -> Score:
        """An empty score over these labels."""

    @abstractmethod
    def count(self, score: Score, answer: Answer, document: Document) -> None:
        """Count one answer against what is known of its document."""

    @abstractmethod
    def answer(self, logits: np.ndarray, offsets: Offsets, text: str, labels: Sequence[str]) -> Answer:
        """What one document's outputs mean; `logits` has no padding."""

    def augmentation(self, examples: Examples, labels: Sequence[str], recipe: TrainingRecipe) -> Augmentation | None:
        """What changes the training examples' batches at each step; None to leave them as they are."""
        return None

    def numbers(self, logits: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        """The labels' numbers that one document's outputs mean, in the form of its target."""
        return logits.argmax(-1)


class TokenClassification(DocumentTask):
    """Entities in a text: one BIO tag a token, scored as whole entities."""

    head = ReformerForTokenClassification
    best_metric = "f1"
    own_fields = DocumentTask.own_fields | {
        "model.classifier_random_field",
        "training.answer_types",
        "training.recombination",
        "training.recombined_types",
    }

    def check(self, recipe: Recipe) -> None:
        super().check(recipe)
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

    def score(self, labels: Sequence[str], recipe: TrainingRecipe) -> EntityScore:
        _check_types("answer_types", recipe.answer_types, labels)
        return EntityScore(labels, recipe.answer_types)

    def count(self, score: Score, answer: Answer, document: Document) -> None:
        assert isinstance(score, EntityScore)
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


class SequenceClassification(DocumentTask):
    """One label for a whole text."""

    head = ReformerForSequenceClassification
    best_metric = "macro_f1"
    own_fields = DocumentTask.own_fields | {"model.classifier_pooling"}

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

    def target(self, document: Document, offsets: Offsets, label_ids: dict[str, int]) -> np.ndarray:
        return np.array(label_id(self._label(document), label_ids, document.source), dtype=np.int64)

    def stack(self, targets: Sequence[np.ndarray], length: int) -> Int[Tensor, " batch"]:
        return torch.from_numpy(np.stack(targets))

    def score(self, labels: Sequence[str], recipe: TrainingRecipe) -> ClassScore:
        return ClassScore(labels)

    def count(self, score: Score, answer: Answer, document: Document) -> None:
        assert isinstance(score, ClassScore)
        assert answer.label is not None
        ids = {label: index for index, label in enumerate(score.labels)}
        score.update(np.array([ids[answer.label]]), self.target(document, (), ids)[None])

    def answer(self, logits: np.ndarray, offsets: Offsets, text: str, labels: Sequence[str]) -> Answer:
        weights = np.exp(logits.astype(np.float64) - logits.max())
        scores = dict(zip(labels, (weights / weights.sum()).tolist(), strict=True))
        return Answer(label=max(scores, key=scores.__getitem__), scores=scores)

    @staticmethod
    def _label(document: Document) -> str:
        if document.label is None:
            raise DataError.at(document.source, "this text has no label", "give it one, and check label_column")
        return document.label
