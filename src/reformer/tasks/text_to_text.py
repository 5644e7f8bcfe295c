"""Text-to-text task: translation, summaries, whatever pairs of source and target texts teach."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from reformer.baselines.nearest import NearestText
from reformer.data import IGNORED, DataError, Document
from reformer.data.batching.encoding import Encoded, Example, Examples, Offsets, encode, pad, pad_batch
from reformer.data.batching.read_ahead import in_order
from reformer.data.errors import OnError, raise_error
from reformer.data.readers import SUFFIXES
from reformer.errors import ReformerError
from reformer.metrics.texts import CharacterMetric, text_scores
from reformer.models import ReformerForConditionalGeneration
from reformer.recipe import Recipe
from reformer.tasks.bad_records import BadRecords
from reformer.tasks.base import (
    Baseline,
    Run,
    TaskData,
    describe_splits,
    outputs_with_summed_loss,
    to_device,
)
from reformer.tasks.document_splits import TextDataRecipe, load_splits, read_labelled, read_unlabelled
from reformer.tasks.generation import generate_texts
from reformer.tasks.model_setup import PretrainedStart, make_config, make_tokenizer
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.predicting import PredictingTask
from reformer.tasks.predictions import Prediction, prediction
from reformer.tasks.targets import Targets, require_target
from reformer.wording import counted

# Of the sources, padding included. Fewer than where nothing is generated: the cache holds the generated tokens, too.
BATCH_TOKENS = 4096


def write_answers(
    run: Run[Any],
    documents: Iterable[Document],
    on_error: OnError = raise_error,
    *,
    beams: int = 1,
    batch_tokens: int = BATCH_TOKENS,
) -> Iterator[tuple[Document, str]]:
    """Each document with the text that the model generates for it, in the documents' order.

    However many there are, only a few thousand tokens' worth of them are held. A document that the model cannot take
    (no token, or more than its maximum) goes to `on_error`, and the next one is read; without `on_error` it is raised.
    """
    sequences = encode(documents, run.tokenizer, run.model.config.max_position_embeddings)
    found = in_order(sequences, _writing(run, beams), batch_tokens=batch_tokens, on_error=on_error)
    for encoded, text in found:
        yield encoded.document, text


def _writing(run: Run[Any], beams: int) -> Callable[[list[Encoded]], list[str]]:
    def answer_batch(batch: list[Encoded]) -> list[str]:
        padded = pad_batch([encoded.ids for encoded in batch], run.model.config.pad_token_id)
        inputs = to_device(padded, run.model.device)
        with torch.inference_mode():
            return generate_texts(run.model, run.tokenizer, inputs, inputs["attention_mask"].sum(-1), beams=beams)

    return answer_batch


class PairDataRecipe(TextDataRecipe, frozen=True):
    """Pairs of texts."""

    text_column: str = Field("source", description="the column of a table, or the field of JSONL, that has the source")
    label_column: str = Field("target", description="the one that has the target")

    @model_validator(mode="before")
    @classmethod
    def _no_source(cls, fields: Any) -> Any:
        match fields:
            case {"source": str(source)}:
                raise ValueError(
                    f"source = {source!r}: no data set of the index has pairs of texts; give train, a TSV, CSV or "
                    "JSONL file of yours"
                )
        return fields

    @property
    def columns(self) -> tuple[str, str]:
        return self.text_column, self.label_column


class PairRecipe(Recipe, frozen=True):
    """Recipe of a task over pairs of texts."""

    data: PairDataRecipe


class TextToText(PredictingTask):
    """Text-to-text task: an encoder-decoder that learns from pairs, with chrF as its metric.

    A pair is read as a document whose label is its target.
    """

    head = ReformerForConditionalGeneration
    best_metric = "chrf"
    generates = True
    model_options = frozenset({"lm_transform"})
    recipe_type = PairRecipe
    whole_folders = True
    suffixes = SUFFIXES
    batch_tokens = BATCH_TOKENS
    predict_options = frozenset(
        {"format", "encoding", "header", "text_column", "label_column", "text", "beams", "keep_columns"}
    )
    model_fields: ClassVar[Mapping[str, Any]] = {"is_encoder_decoder": True}

    def load_data(self, recipe: PairRecipe, start: PretrainedStart | None = None) -> "PairData":
        return PairData(recipe, start)

    def encode(self, run: "Run[TextToText]", records: Iterable[Document]) -> Iterator[Encoded | DataError]:
        return encode(records, run.tokenizer, run.model.config.max_position_embeddings)

    def answering(self, run: "Run[TextToText]", options: PredictOptions) -> Callable[[list[Encoded]], list[str]]:
        return _writing(run, options.beams or 1)

    def predictions(
        self, run: "Run[TextToText]", sequence: Encoded, answer: str, options: PredictOptions
    ) -> Iterator[Prediction]:
        shown = {"source": sequence.document.text} if options.text is not False else {}
        yield prediction(sequence.document, **shown, target=answer)

    def read_file(
        self, run: "Run[TextToText]", file: str, options: PredictOptions, on_error: OnError
    ) -> Iterator[Document]:
        return read_unlabelled(file, run.recipe.data, options, on_error)

    def evaluate(
        self, run: "Run[TextToText]", sources: Sequence[str], options: PredictOptions
    ) -> dict[str, int | float]:
        for source in sources:
            if source.startswith("index:"):
                raise ReformerError(f"{source}: no data set of the index has pairs of texts; give a file")
        documents = (document for each in sources for document in read_labelled(each, run.recipe.data, options))
        return evaluate_pairs(run, documents, beams=options.beams or 1)


class PairData(TaskData["Pairs"]):
    """Pairs of texts as token ids; a source has no special token, a target ends with the end token.

    Raises:
        DataError: a pair that cannot be read, has no target, or has too many tokens.
        ReformerError: a tokenizer without an end token.
    """

    def __init__(self, recipe: PairRecipe, start: PretrainedStart | None = None) -> None:
        self._bad = BadRecords(skip=recipe.data.skip_bad)
        splits = load_splits(recipe.data, recipe.training.seed, _target_text, self._bad)
        texts = (text for document in splits.train for text in (document.text, document.label or ""))
        self.processor = self.tokenizer = make_tokenizer(recipe.tokenizer, texts, start)
        self._targets = Targets(self.tokenizer, recipe.tokenizer.kind)
        self.config = make_config(
            recipe,
            self.tokenizer,
            start,
            **TextToText.model_fields,
            **self._targets.fields,
        )
        self.train, self.validation = self._examples(splits.train), self._examples(splits.validation)
        self._splits = splits
        # Used at the end but checked now: a pair that is too long must not cost a whole run.
        self._test_examples, self._test = self._examples(splits.test), splits.test
        self._bad.raise_all()

    def collate(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        pad_token_id = self.config.pad_token_id
        assert pad_token_id is not None
        labels = self._targets.stack([example.target for example in examples])
        return pad([example.ids for example in examples], pad_token_id) | {"labels": labels}

    def new_metric(self) -> CharacterMetric:
        return CharacterMetric()

    def evaluate_batch(self, model: nn.Module, batch: dict[str, Any], metric: Any) -> tuple[float, int]:
        labels = batch["labels"]
        loss = outputs_with_summed_loss(model, batch, return_logits=False).loss
        # On several processes the model is in a wrapper that shares gradients and cannot generate.
        alone = getattr(model, "module", model)
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        texts = generate_texts(alone, self.tokenizer, inputs, inputs["attention_mask"].sum(-1))
        metric.update(texts, self._targets.texts(labels))
        return float(loss), int((labels != IGNORED).sum())

    def test_metrics(self, run: Run[TextToText]) -> dict[str, int | float] | None:
        return evaluate_pairs(run, self._test) if self._test else None

    def baseline(self) -> Baseline:
        train, validation, test = self._splits.train, self._splits.validation, self._splits.test
        known = NearestText.fit([document.text for document in train])

        def of_nearest(documents: list[Document]) -> list[str]:
            return [_target_text(train[number]) for number in known.nearest([document.text for document in documents])]

        methods: dict[str, Callable[[list[Document]], list[str]]] = {
            "the target of the training pair whose source is most alike": of_nearest,
            "the source itself": lambda documents: [document.text for document in documents],
        }

        def scores(name: str, documents: list[Document]) -> dict[str, float]:
            return text_scores(methods[name](documents), [_target_text(document) for document in documents])

        found = {name: scores(name, validation) for name in methods}
        best, other = sorted(found, key=lambda name: -found[name]["chrf"])
        note = f"chrf of {other} {found[other]['chrf']:.4f}"
        if known.compared_with < len(train):
            note += f"; the first {known.compared_with:,} of {len(train):,} pairs were compared with"
        tested = scores(best, test) if test else None
        return Baseline(method=best, validation=found[best], test=tested, note=note)

    def describe(self) -> Iterator[str]:
        def size(pairs: Pairs) -> str:
            return f"{counted(len(pairs), 'pair')}, {counted(sum(pairs.lengths), 'token')}"

        test = size(self._test_examples) if len(self._test_examples) else None
        return describe_splits(train=size(self.train), validation=size(self.validation), test=test)

    def cautions(self) -> Iterator[str]:
        yield from self._splits.cautions
        yield from self._bad.cautions()

    def _examples(self, documents: list[Document]) -> "Pairs":
        longest = self.config.max_position_embeddings
        return Pairs(documents, self.tokenizer, self._target, longest, on_error=self._bad)

    def _target(self, document: Document, offsets: Offsets) -> Int[np.ndarray, " length"]:
        return self._targets.ids(_target_text(document), document.source, self.config.max_position_embeddings)


class Pairs(Examples):
    """Pairs as token ids; the length of one is that of source and target together."""

    @property
    def lengths(self) -> list[int]:
        return [len(example.ids) + len(example.target) for example in self._examples]


def evaluate_pairs(run: Run[TextToText], documents: Iterable[Document], beams: int = 1) -> dict[str, int | float]:
    """The metrics of the generated texts over pairs: `chrf`, `bleu`, and the number of `pairs`.

    The texts are held until the end, as BLEU needs them.

    Raises:
        DataError: a pair without a target, or a source that is too long for the model.
    """
    pairs = [(text, _target_text(document)) for document, text in write_answers(run, documents, beams=beams)]
    return text_scores([text for text, _ in pairs], [target for _, target in pairs])


def _target_text(document: Document) -> str:
    return require_target(document.label, document.source, "pair", "target")
