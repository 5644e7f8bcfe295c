"""Document tasks: the parts that token and sequence classification share, from data to predictions."""

import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from reformer.data import DataError, Document
from reformer.data.batching.encoding import (
    Augmentation,
    Encoded,
    Examples,
    Offsets,
    encode,
)
from reformer.data.errors import OnError
from reformer.data.notes import DataWarning
from reformer.data.readers import SUFFIXES
from reformer.metrics.base import Metric
from reformer.metrics.calibration import Calibration
from reformer.metrics.review import Review
from reformer.recipe import Recipe, TrainingRecipe
from reformer.tasks.base import Evaluation, Run
from reformer.tasks.document_splits import (
    Splits,
    check_joined,
    joined,
    read_labelled,
    read_unlabelled,
)
from reformer.tasks.documents.answer import DocumentAnswer, as_json
from reformer.tasks.documents.data import DocumentData
from reformer.tasks.documents.document_recipe import DocumentRecipe
from reformer.tasks.documents.prediction import (
    Reading,
    answering,
    evaluate_answers,
    predict,
    reading,
    review_answers,
)
from reformer.tasks.model_setup import PretrainedStart
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.predicting import PredictingTask
from reformer.tasks.predictions import Prediction, can_be_read_twice, prediction

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

    def encode(self, run: "Run[DocumentTask]", records: Iterable[Document]) -> Iterator[Encoded | DataError]:
        return encode(records, run.tokenizer, **reading(run.model.config))

    def answering(
        self, run: "Run[DocumentTask]", options: PredictOptions
    ) -> Callable[[list[Encoded]], list[DocumentAnswer]]:
        return answering(self.as_asked(run, options))

    def predictions(
        self, run: "Run[DocumentTask]", sequence: Encoded, answer: DocumentAnswer, options: PredictOptions
    ) -> Iterator[Prediction]:
        kept = answer if options.min_confidence is None else answer.at_least(options.min_confidence)
        with_text, with_scores = options.text is not False, options.scores is not False
        document = sequence.document
        yield prediction(document, **as_json(document, kept, with_text=with_text, with_scores=with_scores))

    def read_file(
        self, run: "Run[DocumentTask]", file: str, options: PredictOptions, on_error: OnError
    ) -> Iterator[Document]:
        return read_unlabelled(file, run.recipe.data, options, on_error)

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
        if not all(map(can_be_read_twice, sources)):
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

    def load_data(self, recipe: DocumentRecipe, start: PretrainedStart | None = None) -> DocumentData:
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

    def cautions(self, splits: Splits, labels: Sequence[str]) -> Iterator[str]:
        """Lines about what no model with these labels can find in the data."""
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
