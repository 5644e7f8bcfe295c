"""Document tasks: the parts that token and sequence classification share, from data to predictions."""

import os
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from reformer.data import DataError, Document
from reformer.data.batching.encoding import (
    Augmentation,
    Encoded,
    Example,
    Examples,
    Offsets,
    encode,
    pad,
    pad_character_rows,
)
from reformer.data.batching.token_batches import balanced
from reformer.data.errors import OnError
from reformer.data.notes import DataWarning
from reformer.data.origin import Key
from reformer.data.readers import SUFFIXES
from reformer.metrics.base import Metric
from reformer.metrics.calibration import Calibration
from reformer.metrics.review import Review
from reformer.recipe import Recipe, TrainingRecipe
from reformer.tasks.bad_records import BadRecords
from reformer.tasks.base import (
    Baseline,
    Evaluation,
    PredictingTask,
    PredictOptions,
    Reviewed,
    Run,
    TaskData,
    describe_splits,
    outputs_with_summed_loss,
)
from reformer.tasks.document_splits import (
    JoinedTextDataRecipe,
    Splits,
    check_joined,
    joined,
    label_names,
    load_splits,
    read_labelled,
    read_unlabelled,
)
from reformer.tasks.documents.answer import DocumentAnswer, as_json
from reformer.tasks.documents.prediction import (
    Packed,
    Reading,
    character_reading,
    evaluate,
    evaluate_answers,
    predict,
    predict_encoded,
    reading,
    review_answers,
    unpacked,
)
from reformer.tasks.documents.shares import nested_shares
from reformer.tasks.model_setup import PretrainedStart, make_config, make_tokenizer
from reformer.tasks.predictions import Prediction, is_after, prediction
from reformer.wording import counted


class DocumentDataRecipe(JoinedTextDataRecipe, frozen=True):
    """Labelled documents."""

    label_column: str | None = Field(None, description="the column that has the label; none: label")

    @property
    def columns(self) -> tuple[str, str | None]:
        return self.text_column or "text", self.label_column or "label"


class DocumentRecipe(Recipe, frozen=True):
    """Recipe of a task over labelled documents."""

    data: DocumentDataRecipe


WIDE = frozenset({"wide_sizes", "wide_reads", "wide_rows", "wide_dropout"})
"""Options of the model's wide part, which document tasks can fit."""


@dataclass(frozen=True, slots=True)
class ClassicalModel:
    """Classical method of a document task, fitted to the training documents."""

    method: str
    note: str | None
    """The choices it was made by, and what was left out to keep it short."""
    learned_from: int
    """The number of training documents that were read."""
    answers: Callable[[Sequence[Document]], Iterable[DocumentAnswer]]


class DocumentTask(PredictingTask):
    """Task over documents: from its labels, targets and metric follow training, evaluation and prediction."""

    recipe_type = DocumentRecipe
    whole_folders = True
    suffixes = SUFFIXES
    cross_fits: ClassVar[bool] = False
    """Whether `fit_wide` gives the training examples logits of their own, for a resumed run by the same fit again."""
    predict_options = frozenset(
        {
            "format",
            "encoding",
            "header",
            "text_column",
            "label_column",
            "split",
            "text",
            "columns",
            "min_confidence",
            "joined",
            "keep_columns",
        }
    )

    def predict(
        self,
        run: "Run[DocumentTask]",
        files: Iterable[str],
        options: PredictOptions,
        on_error: OnError,
        after: Key | None = None,
    ) -> Iterator[Prediction]:
        with_text, with_scores = options.text is not False, options.scores is not False
        run = self.as_asked(run, options)
        documents = read_unlabelled(files, run.recipe.data, options, on_error)
        for document, answer in predict(run, documents, on_error, after=after):
            kept = answer if options.min_confidence is None else answer.at_least(options.min_confidence)
            yield prediction(document, **as_json(document, kept, with_text=with_text, with_scores=with_scores))

    def size(
        self, run: "Run[DocumentTask]", files: Iterable[str], options: PredictOptions, after: Key | None = None
    ) -> int | None:
        files = list(files)
        if not all(map(_can_be_read_twice, files)):
            return None
        with warnings.catch_warnings():
            # What is wrong with a record is told when it is answered.
            warnings.simplefilter("ignore", DataWarning)
            documents = read_unlabelled(files, run.recipe.data, options, lambda error: None)
            return sum(len(document.text) for document in documents if is_after(document, after))

    def evaluate(self, run: "Run[Any]", sources: Sequence[str], options: PredictOptions) -> dict[str, Any]:
        return evaluate_answers(run, self._answered(run, sources, options))

    def review(self, run: "Run[Any]", sources: Sequence[str], options: PredictOptions) -> Review:
        return review_answers(run, self._answered(run, sources, options))

    def evaluation(
        self,
        run: "Run[Any]",
        sources: Sequence[str],
        options: PredictOptions,
        *,
        reviewed: bool,
        on_answer: Callable[[int], object] | None = None,
    ) -> Evaluation:
        """See `PredictingTask.evaluation`; `on_answer` is told of each answer, with the document's characters."""
        answered = self._answered(run, sources, options, on_answer)
        if not reviewed:
            return Evaluation(evaluate_answers(run, answered))
        review = review_answers(run, answered)
        return Evaluation(review.metrics, review=review)

    def labelled_size(self, run: "Run[Any]", sources: Sequence[str], options: PredictOptions) -> int | None:
        """The characters of all documents that `evaluate` answers; None where they cannot be read twice."""
        if not all(map(_can_be_read_twice, sources)):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            return sum(len(document.text) for document in self._labelled(run, sources, options))

    def _answered(
        self,
        run: "Run[DocumentTask]",
        sources: Sequence[str],
        options: PredictOptions,
        on_answer: Callable[[int], object] | None = None,
    ) -> Iterator[tuple[Document, DocumentAnswer]]:
        for document, answer in predict(self.as_asked(run, options), self._labelled(run, sources, options)):
            yield document, answer
            if on_answer is not None:
                on_answer(len(document.text))

    def as_asked(self, run: "Run[Any]", options: PredictOptions) -> "Run[Any]":
        """The run with what the options say of how its outputs are read."""
        return run

    def _labelled(
        self, run: "Run[DocumentTask]", sources: Sequence[str], options: PredictOptions
    ) -> Iterator[Document]:
        recipe = run.recipe.data
        check_joined(recipe, options)
        for source in sources:
            documents = read_labelled(source, recipe, options)
            yield from joined(documents, recipe) if options.joined else documents

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

    def answers(
        self,
        model: Any,
        output: Any,
        real: Bool[Tensor, "batch length"],
        texts: Sequence[Reading],
        labels: Sequence[str],
    ) -> list[DocumentAnswer]:
        """The answers to a batch of texts, with their probabilities before calibration.

        Args:
            output: of the model's forward pass.
            real: True for the tokens or characters of the texts.
        """
        rows = output.logits.float().cpu().numpy()
        return [self.answer(row, offsets, text, labels) for row, (offsets, text) in zip(rows, texts, strict=True)]

    @abstractmethod
    def new_review(self, run: "Run[Any]") -> Review:
        """An empty review of answers."""

    @abstractmethod
    def count_in_review(self, review: Review, answer: DocumentAnswer, document: Document) -> None:
        """Count one answer against the labels of its document, for the report."""

    def warnings(self, documents: Iterable[Document], recipe: Any) -> Iterator[str]:
        """Lines about training documents that may not be meant as they are read."""
        yield from ()

    def data_weights(self, examples: Examples, recipe: Any) -> Float[Tensor, "2 labels"] | None:
        """What the loss of a sequence without and with each label counts; None where all count alike."""
        return None

    def sampling_groups(self, examples: Examples, recipe: Any) -> Int[np.ndarray, " examples"] | None:
        """The group of each example where every group is to be drawn equally often; None where all examples are."""
        return None

    def calibrated_on(self, reviewed: Review) -> Calibration:
        """The calibration that is best for the answers on the validation part."""
        return reviewed.fit()

    @abstractmethod
    def fit_classical(
        self, splits: Splits, labels: Sequence[str], recipe: Any, *, effort: float = 1.0
    ) -> ClassicalModel:
        """The task's classical method, fitted in about a minute at most to the training documents.

        Args:
            labels: of all training documents, which those of `splits` may be a share of.
            effort: the share of that minute that it may take. Documents that are a share of others are fitted by the
                same choices as these by their share of the characters.
        """

    @abstractmethod
    def fit_wide(
        self, model: Any, train: Examples, validation: Examples, recipe: Any, tokenizer: PreTrainedTokenizerFast
    ) -> Float[np.ndarray, "examples labels"] | None:
        """Fit the wide part of a model, by the classical method over what it reads, and let the rest add nothing yet.

        Returns:
            What the training examples have for its logits in training: those of fits without them. None: its own.

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


def _can_be_read_twice(source: str) -> bool:
    """Whether a source is a file, a folder or a data set, and no pipe or device."""
    return source.startswith("index:") or os.path.isfile(source) or os.path.isdir(source)


class DocumentData(TaskData[Examples]):
    """Documents of a document task, tokenised, with their label ids.

    Raises:
        DataError: a document that cannot be read, has too many tokens, or a label that the training documents lack.
    """

    def __init__(self, task: DocumentTask, recipe: DocumentRecipe, start: PretrainedStart | None = None) -> None:
        self._task, self._recipe, self._whole_recipe = task, recipe.training, recipe
        self._bad = BadRecords(skip=recipe.data.skip_bad)
        self._splits = load_splits(recipe.data, recipe.training.seed, task.check_document, self._bad, join_test=False)
        self._labels = task.labels(self._splits.train)
        self.processor = self._tokenizer = make_tokenizer(
            recipe.tokenizer, (document.text for document in self._splits.train), start
        )
        self._label_ids = {label: index for index, label in enumerate(self._labels)}
        self.config = make_config(
            recipe,
            self._tokenizer,
            start,
            id2label=dict(enumerate(self._labels)),
            label2id=dict(self._label_ids),
            **task.model_fields,
        )
        self._characters = character_reading(task, self.config, self._tokenizer)
        self.train = self._examples(self._splits.train)
        self._augment = task.augmentation(self.train, self._labels, recipe.training)
        self.validation = self._examples(self._splits.validation)
        # Used at the end but checked now: an unknown label must not cost a whole run.
        test = encode(self._splits.test, self._tokenizer, **reading(self.config))
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
        wide = [example.wide_logits for example in examples if example.wide_logits is not None]
        if wide:
            batch["wide_logits"] = torch.from_numpy(np.stack(wide))
        return batch | {"labels": self._task.stack([example.target for example in examples], length)}

    def augment(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Any]:
        return batch if self._augment is None else self._augment(batch, generator)

    def fit_wide(self, model: Any, *, resumed: bool) -> None:
        if resumed and not self._task.cross_fits:
            return
        logits = self._task.fit_wide(model, self.train, self.validation, self._recipe, self._tokenizer)
        if logits is not None:
            self.train = self.train.with_wide_logits(logits)

    def new_metric(self) -> Metric:
        return self._task.new_metric(self._labels, self._recipe)

    def evaluate_batch(self, model: nn.Module, batch: dict[str, Any], metric: Any) -> tuple[float, int]:
        labels = batch["labels"]
        outputs = outputs_with_summed_loss(model, batch)
        for row, target in zip(outputs.logits.float().cpu().numpy(), labels.cpu().numpy(), strict=True):
            metric.update(np.stack([self._task.predicted_ids(row, self._labels)]), target[None])
        return float(outputs.loss), int((labels >= 0).sum())

    def test_metrics(self, run: Run[DocumentTask]) -> dict[str, int | float] | None:
        reviewed = self._review_test(run)
        return None if reviewed is None else dict(reviewed.metrics)

    def joined_test_metrics(self, run: Run[DocumentTask]) -> dict[str, int | float] | None:
        recipe = run.recipe.data
        if recipe.joined_length is None or not self._splits.test:
            return None
        return evaluate(run, joined(self._splits.test, recipe))

    def review(self, run: Run[DocumentTask]) -> Reviewed:
        answered = list(predict(replace(run, calibration=Calibration()), self._splits.validation))
        calibration = self._task.calibrated_on(review_answers(run, answered))
        calibrated = ((document, answer.calibrated(calibration)) for document, answer in answered)
        parts = {"validation": review_answers(run, calibrated)}
        test = self._review_test(replace(run, calibration=calibration))
        return Reviewed(calibration, parts if test is None else parts | {"test": test})

    def _review_test(self, run: Run[DocumentTask]) -> Review | None:
        return review_answers(run, predict_encoded(run, map(unpacked, self._test))) if self._test else None

    def baseline(self) -> Baseline:
        return self._baseline(self._splits)

    def baselines_of_shares(self) -> Iterator[Baseline]:
        train = self._splits.train
        characters = sum(len(document.text) for document in train)
        for numbers in nested_shares([label_names(document) for document in train], self._recipe.seed):
            part = [train[number] for number in numbers]
            effort = sum(len(document.text) for document in part) / max(1, characters)
            yield self._baseline(replace(self._splits, train=part, test=[]), effort)

    def _baseline(self, splits: Splits, effort: float = 1.0) -> Baseline:
        model = self._task.fit_classical(splits, self._labels, self._whole_recipe, effort=effort)
        types = self._task.entity_types(self._whole_recipe)

        def scores(documents: list[Document]) -> dict[str, float]:
            metric = self.new_metric()
            for document, answer in zip(documents, model.answers(documents), strict=True):
                self._task.count(metric, answer.of_types(types), document)
            return metric.result()

        return Baseline(
            method=model.method,
            validation=scores(splits.validation),
            test=scores(splits.test) if splits.test else None,
            note=model.note,
            learned_from=model.learned_from,
        )

    def describe(self) -> Iterator[str]:
        def size(documents: list[Document]) -> str:
            return (
                f"{counted(len(documents), 'document')}, "
                f"{counted(sum(len(document.text) for document in documents), 'character')}"
            )

        splits = self._splits
        test = size(splits.test) if splits.test else None
        yield from describe_splits(train=size(splits.train), validation=size(splits.validation), test=test)
        for line in self._task.warnings(splits.train, self._whole_recipe):
            yield f"warning: {line}"

    def weigh_loss(self, model: Any) -> None:
        weights = self._task.data_weights(self.train, self._recipe)
        if weights is not None:
            model.class_weights = weights.to(model.device)

    def chosen(self, dataset: Examples) -> Int[np.ndarray, " chosen"] | None:
        groups = self._task.sampling_groups(dataset, self._recipe)
        return None if groups is None else balanced(groups)

    def cautions(self) -> Iterator[str]:
        yield from self._splits.cautions
        yield from self._bad.cautions()

    def _examples(self, documents: list[Document]) -> Examples:
        how = reading(self.config)
        return Examples(
            documents, self._tokenizer, self._target, characters=self._characters, on_error=self._bad, **how
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
