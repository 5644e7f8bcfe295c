"""Document tasks: what token and sequence classification share, from data to predictions."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from reformer.data import Document, Span, read_documents
from reformer.data.batching.encoding import Augmentation, Encoded, Example, Examples, Offsets, encode, pad
from reformer.data.batching.read_ahead import BATCH_TOKENS, in_order
from reformer.data.errors import OnError, raise_error
from reformer.metrics.base import Metric
from reformer.recipe import Recipe, TrainingRecipe
from reformer.tasks.base import PredictingTask, PredictOptions, TaskData, read_files
from reformer.tasks.document_splits import joined, load_splits, read_source
from reformer.tasks.model_setup import PretrainedStart, make_config, make_tokenizer

if TYPE_CHECKING:
    from reformer.tasks.base import Run


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


class DocumentTask(PredictingTask):
    """A way to learn from documents and to answer about new ones; training, evaluation and prediction follow."""

    recipe_fields = frozenset({"data.format", "data.text_column", "data.label_column", "data.max_length"})
    predict_options = frozenset({"format", "text_column", "label_column", "split", "text"})

    def predict(
        self, run: "Run[DocumentTask]", files: Iterable[str], options: PredictOptions, on_error: OnError
    ) -> Iterator[dict[str, Any]]:
        text_column = options.text_column or run.recipe.data.text_column or "text"

        def read(file: str) -> Iterable[Document]:
            return read_documents(
                file, format=options.format, text_column=text_column, label_column=None, on_error=on_error
            )

        for document, answer in predict(run, read_files(files, read, on_error), on_error):
            yield as_json(document, answer, with_text=options.text is not False)

    def evaluate(self, run: "Run[DocumentTask]", source: str, options: PredictOptions) -> dict[str, float]:
        recipe = run.recipe.data
        documents = read_source(
            source,
            recipe,
            split=options.split,
            format=options.format,
            text_column=options.text_column,
            label_column=options.label_column,
        )
        return evaluate(run, joined(documents, recipe))

    def load_data(self, recipe: Recipe, start: PretrainedStart | None = None) -> "DocumentData":
        return DocumentData(self, recipe, start)

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
    def new_metric(self, labels: Sequence[str], recipe: TrainingRecipe) -> Metric:
        """An empty score over these labels."""

    @abstractmethod
    def count(self, score: Metric, answer: Answer, document: Document) -> None:
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


class DocumentData(TaskData):
    """What a document task learns from and is measured on.

    Raises:
        DataError: a document that cannot be read, has too many tokens, or a label that the training documents lack.
    """

    def __init__(self, task: "DocumentTask", recipe: Recipe, start: PretrainedStart | None = None) -> None:
        self._task, self._recipe = task, recipe.training
        self._splits = load_splits(recipe.data, recipe.training.seed)
        self._labels = task.labels(self._splits.train)
        self.processor = self._tokenizer = make_tokenizer(
            recipe.tokenizer, (document.text for document in self._splits.train), start
        )
        self._label_ids = {label: index for index, label in enumerate(self._labels)}
        self.config = make_config(
            recipe, self._tokenizer, start, id2label=dict(enumerate(self._labels)), label2id=dict(self._label_ids)
        )
        self.train = self._examples(self._splits.train)
        self._augment = task.augmentation(self.train, self._labels, recipe.training)
        self.validation = self._examples(self._splits.validation)
        # Used at the end but checked now: a label nobody has seen must not cost a whole run.
        self._examples(self._splits.test)

    def collate(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        pad_token_id = self.config.pad_token_id
        assert pad_token_id is not None
        batch = pad([example.ids for example in examples], pad_token_id)
        length = batch["input_ids"].shape[1]
        return batch | {"labels": self._task.stack([example.target for example in examples], length)}

    def augment(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Any]:
        return batch if self._augment is None else self._augment(batch, generator)

    def new_metric(self) -> Metric:
        return self._task.new_metric(self._labels, self._recipe)

    def evaluate_batch(self, model: nn.Module, batch: dict[str, Any], score: Any) -> tuple[float, int]:
        labels = batch["labels"]
        # Counted as one item, the loss is the sum over all labels.
        outputs = model(**batch, num_items_in_batch=1)
        for row, target in zip(outputs.logits.float().cpu().numpy(), labels.cpu().numpy(), strict=True):
            score.update(self._task.numbers(row, self._labels)[None], target[None])
        return float(outputs.loss), int((labels >= 0).sum())

    def test_metrics(self, run: "Run[DocumentTask]") -> dict[str, float] | None:
        return evaluate(run, self._splits.test) if self._splits.test else None

    def describe(self) -> Iterator[str]:
        def size(documents: list[Document]) -> str:
            return f"{len(documents):,} documents, {sum(len(document.text) for document in documents):,} characters"

        yield f"learning from {size(self._splits.train)}"
        yield f"choosing with {size(self._splits.validation)}"
        if self._splits.test:
            yield f"reporting on  {size(self._splits.test)}"

    def _examples(self, documents: list[Document]) -> Examples:
        return Examples(documents, self._tokenizer, self._target, self.config.max_position_embeddings)

    def _target(self, document: Document, offsets: Offsets) -> np.ndarray:
        return self._task.target(document, offsets, self._label_ids)


def predict(
    run: "Run[DocumentTask]",
    documents: Iterable[Document],
    on_error: OnError = raise_error,
    *,
    batch_tokens: int = BATCH_TOKENS,
) -> "Iterator[tuple[Document, Answer]]":
    """Each document with the model's answer, in the documents' order.

    No text is cut: a document goes through the model in one pass. However many documents there are, only a few
    thousand tokens' worth of them, or one long one, are held at a time. A document that the model cannot take (no
    token, or more than its maximum) goes to `on_error` as its error and the next one is read; without `on_error`
    it is raised.
    """
    labels, types = run.labels, run.recipe.training.answer_types

    def answer_batch(batch: Sequence[Encoded]) -> list[Answer]:
        inputs = pad([encoded.ids for encoded in batch], run.model.config.pad_token_id)
        with torch.inference_mode():
            logits = run.model(**{name: value.to(run.model.device) for name, value in inputs.items()}).logits
        rows = logits.float().cpu().numpy()
        return [
            _answer(run.task, row, encoded, labels).of_types(types) for encoded, row in zip(batch, rows, strict=True)
        ]

    sequences = encode(documents, run.tokenizer, run.model.config.max_position_embeddings)
    for encoded, answer in in_order(sequences, answer_batch, batch_tokens=batch_tokens, on_error=on_error):
        yield encoded.document, answer


def _answer(task: DocumentTask, row: np.ndarray, encoded: Encoded, labels: Sequence[str]) -> Answer:
    # A row of a token task has an output for each token, and padding ends with the document.
    outputs = row[: len(encoded.ids)] if row.ndim == 2 else row
    return task.answer(outputs, encoded.offsets, encoded.document.text, labels)


def evaluate(run: "Run[DocumentTask]", documents: Iterable[Document]) -> dict[str, float]:
    """Score the model on documents whose answer is known, by characters, in constant memory.

    Raises:
        DataError: a document without an answer, with a label the model does not know, or too long for it.
    """
    score = run.task.new_metric(run.labels, run.recipe.training)
    documents_read = characters = 0
    for document, answer in predict(run, documents):
        run.task.count(score, answer, document)
        documents_read += 1
        characters += len(document.text)
    return {"documents": documents_read, "characters": characters, **score.result()}


def as_json(document: Document, answer: "Answer", *, with_text: bool = True) -> dict[str, Any]:
    """A document's answer as an object for JSON: `text[start:end]` of each span is its entity, exactly."""
    record: dict[str, Any] = {"id": document.id}
    if with_text:
        record["text"] = document.text
    if answer.spans is not None:
        record["spans"] = [
            {
                "start": span.start,
                "end": span.end,
                "label": span.label,
                "text": document.text[span.start : span.end],
            }
            for span in answer.spans
        ]
    if answer.label is not None:
        record |= {"label": answer.label, "scores": answer.scores}
    return record
