"""Token classification: entities in a text."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, field_validator, model_validator
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from reformer.baselines.ngram_classifier import code_points
from reformer.baselines.ngram_tagger import MissingPackageError, NgramTagger
from reformer.data import IGNORED, DataError, Document, Span, decode_spans, token_tags
from reformer.data.batching.encoding import Augmentation, Example, Examples, Offsets, character_offsets, padded
from reformer.data.label_layers import entity_labels, layer_tags, types_of
from reformer.data.labels import TaggedSpan, TokenGroup, tagged_spans
from reformer.data.spans import SpanReading, column_names
from reformer.data.words import spans_within_words, word_starts
from reformer.errors import ReformerError
from reformer.metrics.base import Metric
from reformer.metrics.classification import EntityMetric
from reformer.metrics.review import Review
from reformer.models import ReformerForTokenClassification
from reformer.recipe import Fraction, TrainingRecipe
from reformer.tasks.base import NoBaselineError, Run
from reformer.tasks.document_splits import Splits
from reformer.tasks.documents.aggregation import AggregationStrategy, aggregated
from reformer.tasks.documents.answer import DocumentAnswer, spans_of_types
from reformer.tasks.documents.confidence import scored_spans
from reformer.tasks.documents.document_recipe import DocumentDataRecipe, DocumentRecipe
from reformer.tasks.documents.prediction import Reading
from reformer.tasks.documents.recombination import Recombination
from reformer.tasks.documents.review import OUTSIDE, review_spans
from reformer.tasks.documents.task import WIDE, ClassicalModel, DocumentTask
from reformer.tasks.documents.viterbi import best_tags
from reformer.tasks.predict_options import PredictOptions
from reformer.wording import counted

MOST_WITHIN_WORDS = 0.01
"""Share of training entities that begin or end within a word, above which this is told."""


class EntityTrainingRecipe(TrainingRecipe, frozen=True):
    """Training of a task that labels entities."""

    deprecated_names: ClassVar[Mapping[str, str]] = {
        "answer_types": "entity_types",
        "recombination": "entity_recombination",
    }

    entity_types: list[str] | None = Field(
        None,
        description="the types of entities to predict and to evaluate; others that are tagged are learned beside them, "
        "for what they tell about these; none: all",
    )
    entity_recombination: Fraction | None = Field(
        None,
        description="the probability with which an entity becomes another of its length, put together from the "
        "training documents' entities of its type, at each step anew",
    )
    recombined_types: list[str] | None = Field(None, description="the types to which that happens; none: all")
    aggregation_strategy: AggregationStrategy = Field(
        "average",
        description="where words are written apart, entities are predicted as whole words: the tag of a word is that "
        "of its first token (first), of the mean of its tokens (average) or of the surest (max); simple: each token's",
    )

    @model_validator(mode="after")
    def _recombination_is_given(self) -> "EntityTrainingRecipe":
        if self.recombined_types is not None and self.entity_recombination is None:
            raise ValueError("recombined_types without entity_recombination, the probability; give both")
        return self


class EntityDataRecipe(DocumentDataRecipe, frozen=True):
    """Documents with entities."""

    repair: bool = Field(False, description="move spans whose own text stands elsewhere to where it stands")
    on_overlap: Literal["error", "longest", "first", "keep"] = Field(
        "error",
        description="which of overlapping spans to keep: the longest, those that begin first, or all (keep), which are "
        "then labelled in layers; error: refuse them",
    )
    conll_columns: str | None = Field(
        None,
        description='the columns of CoNLL files in their order, such as "word,_,tag"; none: told from the files',
    )

    @property
    def columns(self) -> tuple[str, str | None]:
        return self.text_column or "text", None

    @field_validator("conll_columns")
    @classmethod
    def _columns_are_named(cls, value: str | None) -> str | None:
        try:
            column_names(value)
        except ReformerError as error:
            raise ValueError(str(error)) from None
        return value

    @property
    def spans(self) -> SpanReading:
        return SpanReading(self.repair, self.on_overlap, column_names(self.conll_columns))


class TokenRecipe(DocumentRecipe, frozen=True):
    """Recipe of token classification."""

    data: EntityDataRecipe
    training: EntityTrainingRecipe


class TokenClassification(DocumentTask):
    """Entities in a text: one BIO tag a token, scored as whole entities."""

    head = ReformerForTokenClassification
    best_metric = "f1"
    recipe_type = TokenRecipe
    predict_options = DocumentTask.predict_options | {"repair", "on_overlap", "aggregation_strategy"}
    model_options = frozenset({"classifier_crf", "classifier_reads", "special_tokens", *WIDE - {"wide_reads"}})

    def __init__(self, strategy: AggregationStrategy = "average") -> None:
        """
        Args:
            strategy: how the tags of a word's tokens become one, in all answers.
        """
        self._strategy: AggregationStrategy = strategy

    def for_recipe(self, recipe: TokenRecipe) -> "TokenClassification":
        return TokenClassification(recipe.training.aggregation_strategy)

    def as_asked(self, run: Run[Any], options: PredictOptions) -> Run[Any]:
        strategy = options.aggregation_strategy
        return run if strategy is None else replace(run, task=TokenClassification(strategy))

    def check_recipe(self, recipe: TokenRecipe) -> None:
        super().check_recipe(recipe)
        # A model that the run starts from may have the random field.
        if recipe.model.get("wide_sizes") and not recipe.model.get("classifier_crf") and not recipe.finetune.start_from:
            raise ValueError(
                "model.wide_sizes: a token classifier's wide part is that of a conditional random field; set "
                "model.classifier_crf = true, too"
            )
        if recipe.data.on_overlap == "keep" and recipe.training.entity_recombination is not None:
            raise ValueError(
                'training.entity_recombination with data.on_overlap = "keep": what lies within an entity would be torn '
                "from its text; leave out one of them"
            )
        if recipe.model.get("wide_sizes") and recipe.training.entity_types is not None:
            raise ValueError(
                "model.wide_sizes with training.entity_types: the wide part would be fitted to the types that do not "
                "count as well, in a time that grows with the square of their number; leave out one of them"
            )

    def check_document(self, document: Document) -> None:
        self._spans(document)

    def labels(self, documents: Iterable[Document]) -> list[str]:
        labels = entity_labels(document.spans or () for document in documents)
        if len(labels) == 1:
            raise DataError(
                None,
                None,
                "the training documents have no entity at all",
                "give CoNLL tags or JSONL with spans; for one label a text, training.task is sequence-classification",
            )
        return labels

    def target(self, document: Document, offsets: Offsets, label_ids: dict[str, int]) -> Int[np.ndarray, " length"]:
        return np.array(token_tags(self._spans(document), offsets, label_ids, document.source), dtype=np.int64)

    def stack(self, targets: Sequence[Int[np.ndarray, " _"]], length: int) -> Int[Tensor, "batch length"]:
        return padded(targets, length, IGNORED)

    def entity_types(self, recipe: TokenRecipe) -> Sequence[str] | None:
        return recipe.training.entity_types

    def augmentation(
        self, examples: Examples, labels: Sequence[str], recipe: EntityTrainingRecipe
    ) -> Augmentation | None:
        if recipe.entity_recombination is None:
            return None
        _check_types("recombined_types", recipe.recombined_types, labels)
        if len(examples) and examples[0].characters is not None:
            raise ReformerError(
                "training.entity_recombination with classifier_reads = 'characters': entities are put together token "
                "by token, and here they may begin within one; leave out one of them"
            )
        return Recombination(examples, labels, recipe.entity_recombination, recipe.recombined_types)

    def warnings(self, documents: Iterable[Document], recipe: TokenRecipe) -> Iterator[str]:
        entities = within = 0
        for document in documents if self._strategy != "simple" else ():
            entities += len(document.spans or ())
            within += spans_within_words(document.spans or (), document.text)
        if within > MOST_WITHIN_WORDS * entities:
            yield (
                f"{within:,} of {entities:,} training entities begin or end within a word, and those that are "
                "predicted are whole words; set training.aggregation_strategy = 'simple' if these borders are meant"
            )

    def cautions(self, splits: Splits, labels: Sequence[str]) -> Iterator[str]:
        ids, types = {label: number for number, label in enumerate(labels)}, types_of(labels)
        parts = {"validation": splits.validation, "test": splits.test} if len(layer_tags(labels[0])) > 1 else {}
        for part, documents in parts.items():
            entities = lost = 0
            for document in documents:
                spans, offsets = spans_of_types(document.spans or (), types), character_offsets(document.text)
                tags = [labels[number] for number in token_tags(spans, offsets, ids, document.source)]
                entities += len(spans)
                lost += len(set(spans).difference(decode_spans(tags, offsets, document.text)))
            if lost:
                yield (
                    f"{lost:,} of {counted(entities, 'entity')} of the {part} part lie over others as none in training "
                    "do: there is no label to find them by, and they count as missed"
                )

    def new_metric(self, labels: Sequence[str], recipe: EntityTrainingRecipe) -> EntityMetric:
        _check_types("entity_types", recipe.entity_types, labels)
        return EntityMetric(labels, recipe.entity_types)

    def count(self, metric: Metric, answer: DocumentAnswer, document: Document) -> None:
        assert isinstance(metric, EntityMetric)
        assert answer.spans is not None
        metric.update_spans(answer.spans, self._spans(document))

    def new_review(self, run: Run[Any]) -> Review:
        types = self.new_metric(run.labels, run.recipe.training).types
        return Review(types, OUTSIDE, counts_others=self.entity_types(run.recipe) is None)

    def count_in_review(self, review: Review, answer: DocumentAnswer, document: Document) -> None:
        assert answer.spans is not None
        review_spans(review, document, answer.spans, self._spans(document))

    def answer(
        self, logits: Float[np.ndarray, "length labels"], offsets: Offsets, text: str, labels: Sequence[str]
    ) -> DocumentAnswer:
        return DocumentAnswer(spans=tuple(each.span for each in self._tagged(logits, offsets, text, labels)))

    def answers(
        self,
        model: ReformerForTokenClassification,
        output: Any,
        real: Bool[Tensor, "batch length"],
        texts: Sequence[Reading],
        labels: Sequence[str],
    ) -> list[DocumentAnswer]:
        rows = output.logits.float().cpu().numpy()
        # Behind a document, a row has logits of padding.
        found = [
            self._tagged(row[: len(offsets)], offsets, text, labels)
            for row, (offsets, text) in zip(rows, texts, strict=True)
        ]
        return [DocumentAnswer(spans=spans) for spans in scored_spans(model, output, real, found, labels)]

    def _tagged(
        self, logits: Float[np.ndarray, "length labels"], offsets: Offsets, text: str, labels: Sequence[str]
    ) -> list[TaggedSpan]:
        logits, groups = self._aggregated(logits, offsets, text, labels)
        tags = [labels[int(tag)] for tag in self.predicted_ids(logits, labels)]
        return tagged_spans(tags, offsets, text, groups)

    def _aggregated(
        self, logits: Float[np.ndarray, "length labels"], offsets: Offsets, text: str, labels: Sequence[str]
    ) -> tuple[Float[np.ndarray, "groups labels"], list[TokenGroup] | None]:
        """Logits of words; of tokens, and None, where each token keeps its own tag."""
        if self._strategy == "simple":
            return logits, None
        return aggregated(logits, word_starts(offsets, text), labels, self._strategy)

    def predicted_ids(
        self, logits: Float[np.ndarray, "length labels"], labels: Sequence[str]
    ) -> Int[np.ndarray, " length"]:
        return best_tags(logits, labels)

    def fit_classical(
        self, splits: Splits, labels: Sequence[str], recipe: TokenRecipe, *, effort: float = 1.0
    ) -> ClassicalModel:
        types = self.entity_types(recipe)
        # Types that are learned beside those that count would multiply the time, which grows with the tags' square.
        tags = list(labels)
        if types is not None:
            tags = entity_labels(spans_of_types(document.spans or (), types) for document in splits.train)
        known = types_of(tags)
        ids = {tag: number for number, tag in enumerate(tags)}

        def character_tags(document: Document) -> Int[np.ndarray, " length"]:
            spans = spans_of_types(self._spans(document), known)
            return np.array(token_tags(spans, character_offsets(document.text), ids, document.source), dtype=np.int64)

        texts, targets = [code_points(document.text) for document in splits.train], map(character_tags, splits.train)
        minutes = effort * _minutes(recipe.training)
        try:
            model = NgramTagger.fit(texts, list(targets), num_tags=len(tags), minutes=minutes)
        except MissingPackageError as error:
            raise NoBaselineError(str(error)) from None

        def answers(documents: Sequence[Document]) -> Iterator[DocumentAnswer]:
            found = model.tags([code_points(document.text) for document in documents])
            for document, numbers in zip(documents, found, strict=True):
                offsets = character_offsets(document.text)
                # Each tag has all probability.
                scores, groups = self._aggregated(_certain(numbers, len(tags)), offsets, document.text, tags)
                names = [tags[number] for number in scores.argmax(-1)]
                yield DocumentAnswer(spans=tuple(decode_spans(names, offsets, document.text, groups)))

        notes = [model.method]
        if model.learned_from < len(splits.train):
            notes.append(f"learned from {model.learned_from:,} of {counted(len(splits.train), 'document')}")
        method = "linear-chain CRF over 1 to 3 characters within 2 of each"
        return ClassicalModel(method, ", ".join(notes), model.learned_from, answers)

    @torch.no_grad()
    def fit_wide(
        self,
        model: ReformerForTokenClassification,
        train: Examples,
        validation: Examples,
        recipe: EntityTrainingRecipe,
        tokenizer: PreTrainedTokenizerFast,
    ) -> None:
        wide, config = model.wide, model.config
        assert wide is not None
        assert model.transitions is not None
        found = [train[number] for number in range(len(train))]
        tagger = NgramTagger.fit(
            [_labelled_ids(example) for example in found],
            # Special tokens around a text have no tag, and stand outside of every entity.
            [np.where(example.target == IGNORED, 0, example.target) for example in found],
            num_tags=wide.table.shape[1],
            sizes=config.wide_sizes,
            rows=config.wide_rows,
            minutes=_minutes(recipe),
        )
        table, transitions = tagger.weights(wide.table.shape[1])
        wide.table.copy_(torch.from_numpy(table))
        model.transitions.copy_(torch.from_numpy(transitions))
        model.classifier.weight.zero_()
        model.classifier.bias.zero_()

    @staticmethod
    def _spans(document: Document) -> tuple[Span, ...]:
        if document.spans is None:
            raise DataError.at(
                document.source,
                "nothing says which entities this text has",
                'give CoNLL tags, or "spans" in JSONL, an empty list where there are none',
            )
        return document.spans


def _certain(tags: Int[np.ndarray, " length"], labels: int) -> Float[np.ndarray, "length labels"]:
    """Logits of tags that have all probability."""
    return np.where(tags[:, None] == np.arange(labels), np.float32(0), np.float32(-np.inf))


def _labelled_ids(example: Example) -> Int[np.ndarray, " length"]:
    """The ids of what the labels are of: a document's tokens, or the characters within them."""
    return (example.ids if example.characters is None else example.characters[1]).astype(np.int64)


def _minutes(recipe: TrainingRecipe) -> float:
    """The time of the classical method: a minute, or a tenth of the run's if that is more."""
    return max(1.0, (recipe.max_minutes or 0.0) / 10)


def _check_types(field: str, types: Sequence[str] | None, labels: Sequence[str]) -> None:
    known = types_of(labels)
    unknown = sorted(set(types or ()) - set(known))
    if unknown:
        raise ReformerError(
            f"training.{field}: the training documents have no {', '.join(map(repr, unknown))}; they have "
            f"{', '.join(map(repr, known))}"
        )
