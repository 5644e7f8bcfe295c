"""Document tasks: the parts that token and sequence classification share, from data to predictions."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from reformer.data import DataError, Document, Span
from reformer.data.batching.encoding import (
    Augmentation,
    Encoded,
    Example,
    Examples,
    Offsets,
    character_offsets,
    encode,
    pad,
    pad_character_rows,
)
from reformer.data.batching.read_ahead import BATCH_TOKENS, in_order
from reformer.data.characters import CharacterTokens
from reformer.data.errors import OnError, raise_error
from reformer.metrics.base import Metric
from reformer.recipe import Recipe, TrainingRecipe
from reformer.tasks.bad_records import BadRecords
from reformer.tasks.base import (
    Baseline,
    PredictingTask,
    PredictOptions,
    Run,
    TaskData,
    describe_splits,
    outputs_with_summed_loss,
    to_device,
)
from reformer.tasks.document_splits import (
    JoinedTextDataRecipe,
    Splits,
    joined,
    load_splits,
    read_labelled,
    read_unlabelled,
)
from reformer.tasks.model_setup import PretrainedStart, make_config, make_tokenizer


class DocumentDataRecipe(JoinedTextDataRecipe, frozen=True):
    """Labelled documents."""

    label_column: str | None = Field(None, description="the column that has the label; none: label")

    @property
    def columns(self) -> tuple[str, str | None]:
        return self.text_column or "text", self.label_column or "label"


class DocumentRecipe(Recipe, frozen=True):
    """Recipe of a task over labelled documents."""

    data: DocumentDataRecipe


@dataclass(frozen=True, slots=True)
class DocumentAnswer:
    """Prediction for one document: its entities, or its class with every class's probability."""

    spans: tuple[Span, ...] | None = None
    label: str | None = None
    scores: dict[str, float] | None = None

    def of_types(self, types: Sequence[str] | None) -> "DocumentAnswer":
        """Without the entities of other types; all of them if None."""
        return self if self.spans is None else replace(self, spans=spans_of_types(self.spans, types))


def spans_of_types(spans: Iterable[Span], types: Sequence[str] | None) -> tuple[Span, ...]:
    """The spans of these types; all of them if None."""
    return tuple(span for span in spans if types is None or span.label in types)


WIDE = frozenset({"wide_sizes", "wide_reads", "wide_rows", "wide_dropout"})
"""Options of the model's wide part, which document tasks can fit."""


@dataclass(frozen=True, slots=True)
class ClassicalModel:
    """Classical method of a document task, fitted to the training documents."""

    method: str
    note: str | None
    """The choices it was made by, and what was left out to keep it short."""
    answers: Callable[[Sequence[Document]], Iterable[DocumentAnswer]]


class DocumentTask(PredictingTask):
    """Task over documents: from its labels, targets and metric follow training, evaluation and prediction."""

    recipe_type = DocumentRecipe
    predict_options = frozenset(
        {"format", "encoding", "header", "text_column", "label_column", "split", "text", "columns"}
    )

    def predict(
        self, run: "Run[DocumentTask]", files: Iterable[str], options: PredictOptions, on_error: OnError
    ) -> Iterator[dict[str, Any]]:
        for document, answer in predict(run, read_unlabelled(files, run.recipe.data, options, on_error), on_error):
            yield as_json(document, answer, with_text=options.text is not False)

    def evaluate(self, run: "Run[DocumentTask]", source: str, options: PredictOptions) -> dict[str, int | float]:
        recipe = run.recipe.data
        documents = read_labelled(source, recipe, options)
        return evaluate(run, joined(documents, recipe))

    def load_data(self, recipe: DocumentRecipe, start: PretrainedStart | None = None) -> "DocumentData":
        return DocumentData(self, recipe, start)

    @abstractmethod
    def check_document(self, document: Document) -> None:
        """Raise a `DataError` if a document has nothing that the task could learn from it."""

    @abstractmethod
    def labels(self, documents: Iterable[Document]) -> list[str]:
        """The labels that the documents teach, in the order of the model's outputs."""

    @abstractmethod
    def target(self, document: Document, offsets: Offsets, label_ids: dict[str, int]) -> Int[np.ndarray, "..."]:
        """The label ids of a document, one or one a token; a `DataError` if it has no label, or an unknown one."""

    @abstractmethod
    def stack(self, targets: Sequence[Int[np.ndarray, "..."]], length: int) -> Int[Tensor, "batch ..."]:
        """The targets of documents that are padded to `length` tokens."""

    @abstractmethod
    def new_metric(self, labels: Sequence[str], recipe: TrainingRecipe) -> Metric:
        """An empty metric over these labels."""

    @abstractmethod
    def count(self, metric: Metric, answer: DocumentAnswer, document: Document) -> None:
        """Count one answer against the labels of its document."""

    @abstractmethod
    def answer(
        self, logits: Float[np.ndarray, "*length labels"], offsets: Offsets, text: str, labels: Sequence[str]
    ) -> DocumentAnswer:
        """The answer that one document's logits mean; they have no padding."""

    @abstractmethod
    def fit_classical(self, splits: Splits, labels: Sequence[str], recipe: Any) -> ClassicalModel:
        """The task's classical method, fitted in about a minute at most to the training documents."""

    @abstractmethod
    def fit_wide(
        self, model: Any, train: Examples, validation: Examples, recipe: Any, tokenizer: PreTrainedTokenizerFast
    ) -> None:
        """Fit the wide part of a model, by the classical method over what it reads, and let the rest add nothing yet.

        Raises:
            ReformerError: the method's package is not installed.
        """

    def entity_types(self, recipe: Recipe) -> Sequence[str] | None:
        """The types of entities that are predicted and evaluated; None for all, or where there are none."""
        return None

    def augmentation(self, examples: Examples, labels: Sequence[str], recipe: TrainingRecipe) -> Augmentation | None:
        """The augmentation of training batches, drawn anew at each step; None to leave them as they are."""
        return None

    def predicted_ids(
        self, logits: Float[np.ndarray, "*length labels"], labels: Sequence[str]
    ) -> Int[np.ndarray, "*length"] | np.integer:
        """The label ids that one document's logits mean, in the form of its target."""
        return logits.argmax(-1)


Packed = tuple[Document, Int[np.ndarray, " length"], Int[np.ndarray, "length 2"]]
"""A document, its token ids and their offsets, in a few bytes a token where an `Encoded` has a tuple a token."""


class DocumentData(TaskData[Examples]):
    """Documents of a document task, tokenised, with their label ids.

    Raises:
        DataError: a document that cannot be read, has too many tokens, or a label that the training documents lack.
    """

    def __init__(self, task: DocumentTask, recipe: DocumentRecipe, start: PretrainedStart | None = None) -> None:
        self._task, self._recipe, self._whole_recipe = task, recipe.training, recipe
        self._bad = BadRecords(skip=recipe.data.skip_bad)
        self._splits = load_splits(recipe.data, recipe.training.seed, task.check_document, self._bad)
        self._labels = task.labels(self._splits.train)
        self.processor = self._tokenizer = make_tokenizer(
            recipe.tokenizer, (document.text for document in self._splits.train), start
        )
        self._label_ids = {label: index for index, label in enumerate(self._labels)}
        self.config = make_config(
            recipe, self._tokenizer, start, id2label=dict(enumerate(self._labels)), label2id=dict(self._label_ids)
        )
        self._characters = character_reading(task, self.config, self._tokenizer)
        self.train = self._examples(self._splits.train)
        self._augment = task.augmentation(self.train, self._labels, recipe.training)
        self.validation = self._examples(self._splits.validation)
        # Used at the end but checked now: an unknown label must not cost a whole run.
        test = encode(self._splits.test, self._tokenizer, **_reading(self.config))
        self._test = [packed for encoded in test if (packed := self._packed(encoded)) is not None]
        self._bad.raise_all()

    def collate(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        pad_token_id = self.config.pad_token_id
        assert pad_token_id is not None
        batch = pad([example.ids for example in examples], pad_token_id)
        length = batch["input_ids"].shape[1]
        rows = [example.characters for example in examples if example.characters is not None]
        if rows:
            batch |= pad_character_rows(rows)
            length = batch["character_pieces"].shape[1]
        return batch | {"labels": self._task.stack([example.target for example in examples], length)}

    def augment(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Any]:
        return batch if self._augment is None else self._augment(batch, generator)

    def fit_wide(self, model: Any) -> None:
        self._task.fit_wide(model, self.train, self.validation, self._recipe, self._tokenizer)

    def new_metric(self) -> Metric:
        return self._task.new_metric(self._labels, self._recipe)

    def evaluate_batch(self, model: nn.Module, batch: dict[str, Any], metric: Any) -> tuple[float, int]:
        labels = batch["labels"]
        outputs = outputs_with_summed_loss(model, batch)
        for row, target in zip(outputs.logits.float().cpu().numpy(), labels.cpu().numpy(), strict=True):
            metric.update(np.stack([self._task.predicted_ids(row, self._labels)]), target[None])
        return float(outputs.loss), int((labels >= 0).sum())

    def test_metrics(self, run: Run[DocumentTask]) -> dict[str, int | float] | None:
        return _evaluate(run, _predict(run, map(_unpacked, self._test))) if self._test else None

    def baseline(self) -> Baseline:
        model = self._task.fit_classical(self._splits, self._labels, self._whole_recipe)
        types = self._task.entity_types(self._whole_recipe)

        def scores(documents: list[Document]) -> dict[str, float]:
            metric = self.new_metric()
            for document, answer in zip(documents, model.answers(documents), strict=True):
                self._task.count(metric, answer.of_types(types), document)
            return metric.result()

        splits = self._splits
        test = scores(splits.test) if splits.test else None
        return Baseline(method=model.method, validation=scores(splits.validation), test=test, note=model.note)

    def describe(self) -> Iterator[str]:
        def size(documents: list[Document]) -> str:
            return f"{len(documents):,} documents, {sum(len(document.text) for document in documents):,} characters"

        splits = self._splits
        test = size(splits.test) if splits.test else None
        return describe_splits(train=size(splits.train), validation=size(splits.validation), test=test)

    def cautions(self) -> Iterator[str]:
        yield from self._splits.cautions
        yield from self._bad.cautions()

    def _examples(self, documents: list[Document]) -> Examples:
        reading = _reading(self.config)
        return Examples(
            documents, self._tokenizer, self._target, characters=self._characters, on_error=self._bad, **reading
        )

    def _target(self, document: Document, offsets: Offsets) -> Int[np.ndarray, "..."]:
        return self._task.target(document, offsets, self._label_ids)

    def _packed(self, encoded: Encoded | DataError) -> Packed | None:
        try:
            if isinstance(encoded, DataError):
                raise encoded
            self._target(encoded.document, encoded.offsets)
        except DataError as error:
            self._bad(error)
            return None
        return encoded.document, encoded.ids, np.array(encoded.offsets, dtype=np.int32)


def _reading(config: Any) -> dict[str, Any]:
    """How a model reads texts, as arguments of `encode`."""
    return {"longest": config.max_position_embeddings, "special_tokens": config.special_tokens}


def character_reading(task: DocumentTask, config: Any, tokenizer: PreTrainedTokenizerFast) -> CharacterTokens | None:
    """How the characters of a text lie in its tokens, where the task's model labels characters."""
    labels_characters = "classifier_reads" in task.model_options and config.classifier_reads == "characters"
    return CharacterTokens(tokenizer) if labels_characters else None


def _unpacked(packed: Packed) -> Encoded:
    document, ids, offsets = packed
    return Encoded(document, ids, [(start, end) for start, end in offsets.tolist()])


def predict(
    run: Run[DocumentTask],
    documents: Iterable[Document],
    on_error: OnError = raise_error,
    *,
    batch_tokens: int = BATCH_TOKENS,
) -> Iterator[tuple[Document, DocumentAnswer]]:
    """Each document with the model's answer, in the documents' order.

    No text is cut: a document goes through the model in one pass. However many documents there are, only a few
    thousand tokens' worth of them, or one long one, are held at a time. A document that the model cannot take (no
    token, or more than its maximum) goes to `on_error` as its error and the next one is read; without `on_error`
    it is raised.
    """
    sequences = encode(documents, run.tokenizer, **_reading(run.model.config))
    return _predict(run, sequences, on_error, batch_tokens)


def _predict(
    run: Run[DocumentTask],
    sequences: Iterable[Encoded | DataError],
    on_error: OnError = raise_error,
    batch_tokens: int = BATCH_TOKENS,
) -> Iterator[tuple[Document, DocumentAnswer]]:
    labels, types = run.labels, run.task.entity_types(run.recipe)
    characters = character_reading(run.task, run.model.config, run.tokenizer)

    def answer_batch(batch: Sequence[Encoded]) -> list[DocumentAnswer]:
        inputs = pad([encoded.ids for encoded in batch], run.model.config.pad_token_id)
        if characters is not None:
            inputs |= pad_character_rows([characters(each.document.text, each.offsets) for each in batch])
        with torch.inference_mode():
            logits = run.model(**to_device(inputs, run.model.device)).logits
        rows = logits.float().cpu().numpy()
        return [
            _answer(run.task, row, encoded, labels, characters is not None).of_types(types)
            for encoded, row in zip(batch, rows, strict=True)
        ]

    for encoded, answer in in_order(sequences, answer_batch, batch_tokens=batch_tokens, on_error=on_error):
        yield encoded.document, answer


def _answer(
    task: DocumentTask, row: Float[np.ndarray, "..."], encoded: Encoded, labels: Sequence[str], of_characters: bool
) -> DocumentAnswer:
    offsets = character_offsets(encoded.document.text) if of_characters else encoded.offsets
    # A row of a token task has logits for each token or character; those behind the document are padding's.
    outputs = row[: len(offsets)] if row.ndim == 2 else row
    return task.answer(outputs, offsets, encoded.document.text, labels)


def evaluate(run: Run[DocumentTask], documents: Iterable[Document]) -> dict[str, int | float]:
    """The metrics of the model on labelled documents, by characters, in constant memory.

    Raises:
        DataError: a document without a label, with one that the model does not know, or too long for it.
    """
    return _evaluate(run, predict(run, documents))


def _evaluate(run: Run[DocumentTask], answers: Iterable[tuple[Document, DocumentAnswer]]) -> dict[str, int | float]:
    metric = run.task.new_metric(run.labels, run.recipe.training)
    documents = characters = 0
    for document, answer in answers:
        run.task.count(metric, answer, document)
        documents += 1
        characters += len(document.text)
    return {"documents": documents, "characters": characters, **metric.result()}


def as_json(document: Document, answer: DocumentAnswer, *, with_text: bool = True) -> dict[str, Any]:
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
