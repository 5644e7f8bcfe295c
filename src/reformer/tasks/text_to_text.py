"""A text from another text, learned from pairs: translation, summaries, anything that is given as source and target."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from reformer.data import IGNORED, Document, read_documents
from reformer.data.batching.encoding import Encoded, Example, Examples, Offsets, encode, pad
from reformer.data.batching.read_ahead import in_order
from reformer.data.errors import OnError, raise_error
from reformer.errors import ReformerError
from reformer.metrics.texts import CharacterMetric, text_scores
from reformer.models import ReformerForConditionalGeneration
from reformer.recipe import DataRecipe, Recipe
from reformer.tasks.base import PredictingTask, PredictOptions, TaskData, read_files
from reformer.tasks.document_splits import load_splits, read_source
from reformer.tasks.generation import generate_texts
from reformer.tasks.model_setup import PretrainedStart, make_config, make_tokenizer
from reformer.tasks.targets import Targets, wanted

if TYPE_CHECKING:
    from reformer.tasks.base import Run


# A batch of this many tokens of source, padding included, unless one text has more: what is written costs more than
# what is read, and is held in the cache.
BATCH_TOKENS = 4096


def write_answers(
    run: "Run[Any]",
    documents: Iterable[Document],
    on_error: OnError = raise_error,
    *,
    beams: int = 1,
    batch_tokens: int = BATCH_TOKENS,
) -> Iterator[tuple[Document, str]]:
    """Each document with what the model writes for it, in the documents' order.

    However many there are, only a few thousand tokens' worth of them are held. A document that the model cannot take
    (no token, or more than its maximum) goes to `on_error`, and the next one is read; without `on_error` it is raised.
    """

    def answer_batch(batch: Sequence[Encoded]) -> list[str]:
        padded = pad([encoded.ids for encoded in batch], run.model.config.pad_token_id)
        inputs = {name: padded[name].to(run.model.device) for name in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            return generate_texts(run.model, run.tokenizer, inputs, inputs["attention_mask"].sum(-1), beams=beams)

    sequences = encode(documents, run.tokenizer, run.model.config.max_position_embeddings)
    for encoded, text in in_order(sequences, answer_batch, batch_tokens=batch_tokens, on_error=on_error):
        yield encoded.document, text


SOURCE, TARGET = "source", "target"
"""The columns of a table, or the fields of JSONL, if nothing else is said."""


class TextToText(PredictingTask):
    """What to write for a text: an encoder-decoder that learns from pairs and is measured by chrF.

    A pair is read as a document whose label is its target.
    """

    head = ReformerForConditionalGeneration
    best_metric = "chrf"
    recipe_fields = frozenset({"data.format", "data.text_column", "data.label_column"})
    predict_options = frozenset({"format", "text_column", "label_column", "text", "beams"})
    model_fields: ClassVar[Mapping[str, Any]] = {"is_encoder_decoder": True}

    def check_recipe(self, recipe: Recipe) -> None:
        if recipe.data.source is not None:
            raise ValueError(
                f"data.source = {recipe.data.source!r}: no data set of the index has pairs of texts; give data.train, "
                "a TSV, CSV or JSONL file of yours"
            )

    def load_data(self, recipe: Recipe, start: PretrainedStart | None = None) -> "PairData":
        return PairData(recipe, start)

    def predict(
        self, run: "Run[TextToText]", files: Iterable[str], options: PredictOptions, on_error: OnError
    ) -> Iterator[dict[str, Any]]:
        text_column = options.text_column or _with_columns(run.recipe.data).text_column

        def read(file: str) -> Iterable[Document]:
            assert text_column is not None
            return read_documents(
                file, format=options.format, text_column=text_column, label_column=None, on_error=on_error
            )

        documents = read_files(files, read, on_error)
        for document, text in write_answers(run, documents, on_error, beams=options.beams or 1):
            shown = {"source": document.text} if options.text is not False else {}
            yield {"id": document.id, **shown, "target": text}

    def evaluate(self, run: "Run[TextToText]", source: str, options: PredictOptions) -> dict[str, float]:
        if source.startswith("index:"):
            raise ReformerError(f"{source}: no data set of the index has pairs of texts; give a file")
        documents = read_source(
            source,
            _with_columns(run.recipe.data),
            format=options.format,
            text_column=options.text_column,
            label_column=options.label_column,
        )
        return evaluate_pairs(run, documents, beams=options.beams or 1)


class PairData(TaskData):
    """Pairs of texts as token ids; a source has no special token, a target ends with the end token.

    Raises:
        DataError: a pair that cannot be read, has no target, or has too many tokens.
        ReformerError: a tokenizer without an end token.
    """

    def __init__(self, recipe: Recipe, start: PretrainedStart | None = None) -> None:
        splits = load_splits(_with_columns(recipe.data), recipe.training.seed)
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
        # Used at the end but checked now: a pair that is too long must not cost a whole run.
        self._test_examples, self._test = self._examples(splits.test), splits.test

    def collate(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        pad_token_id = self.config.pad_token_id
        assert pad_token_id is not None
        labels = self._targets.stack([example.target for example in examples])
        return pad([example.ids for example in examples], pad_token_id) | {"labels": labels}

    def new_metric(self) -> CharacterMetric:
        return CharacterMetric()

    def evaluate_batch(self, model: nn.Module, batch: dict[str, Any], score: Any) -> tuple[float, int]:
        labels = batch["labels"]
        # Counted as one item, the loss is the sum over all labels.
        loss = model(**batch, num_items_in_batch=1, return_logits=False).loss
        # Several processes each write on their own, without the wrapper that shares gradients.
        alone = getattr(model, "module", model)
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        texts = generate_texts(alone, self.tokenizer, inputs, inputs["attention_mask"].sum(-1))
        score.update(texts, self._targets.texts(labels))
        return float(loss), int((labels != IGNORED).sum())

    def test_metrics(self, run: "Run[TextToText]") -> dict[str, float] | None:
        return evaluate_pairs(run, self._test) if self._test else None

    def describe(self) -> Iterator[str]:
        for verb, examples in (
            ("learning from", self.train),
            ("choosing with", self.validation),
            ("reporting on ", self._test_examples),
        ):
            assert isinstance(examples, Pairs)
            if len(examples):
                yield f"{verb} {len(examples):,} pairs, {sum(examples.lengths):,} tokens"

    def _examples(self, documents: list[Document]) -> "Pairs":
        return Pairs(documents, self.tokenizer, self._target, self.config.max_position_embeddings)

    def _target(self, document: Document, offsets: Offsets) -> np.ndarray:
        return self._targets.ids(_wanted(document), document.source, self.config.max_position_embeddings)


class Pairs(Examples):
    """Pairs as token ids; the length of one is that of source and target together."""

    @property
    def lengths(self) -> list[int]:
        return [len(example.ids) + len(example.target) for example in self._examples]


def evaluate_pairs(run: "Run[TextToText]", documents: Iterable[Document], beams: int = 1) -> dict[str, float]:
    """Score what the model writes for sources whose targets are known: `chrf`, `bleu`, over how many `pairs`.

    The texts are held until the end, as BLEU needs them.

    Raises:
        DataError: a pair without a target, or a source that is too long for the model.
    """
    found = [(text, _wanted(document)) for document, text in write_answers(run, documents, beams=beams)]
    return text_scores([text for text, _ in found], [wanted for _, wanted in found])


def _wanted(document: Document) -> str:
    return wanted(document.label, document.source, "pair", "target")


def _with_columns(recipe: DataRecipe) -> DataRecipe:
    return recipe.model_copy(
        update={"text_column": recipe.text_column or SOURCE, "label_column": recipe.label_column or TARGET}
    )
