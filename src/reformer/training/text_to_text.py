"""A text from another text, learned from pairs: translation, summaries, anything that is given as source and target."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from reformer.data import IGNORED, DataError, Document, read_documents
from reformer.errors import ReformerError
from reformer.models import ReformerForConditionalGeneration
from reformer.training.examples import Example, Examples, Offsets, few_lengths, pad
from reformer.training.material import (
    AnsweringTask,
    Asked,
    Material,
    Report,
    make_config,
    make_tokenizer,
    read_files,
)
from reformer.training.recipe import DataRecipe, Recipe
from reformer.training.splits import load_splits, read_source
from reformer.training.start import Start
from reformer.training.text_score import CharacterScore, bleu
from reformer.training.writing import write_answers, write_texts

if TYPE_CHECKING:
    from reformer.training.run import Run

SOURCE, TARGET = "source", "target"
"""The columns of a table, or the fields of JSONL, if nothing else is said."""


class TextToText(AnsweringTask):
    """What to write for a text: an encoder-decoder that learns from pairs and is measured by chrF.

    A pair is read as a document whose label is its target.
    """

    head = ReformerForConditionalGeneration
    best_metric = "chrf"
    own_fields = frozenset({"data.format", "data.text_column", "data.label_column"})
    asks = frozenset({"format", "text_column", "label_column", "text", "beams"})
    model_fields: ClassVar[Mapping[str, Any]] = {"is_encoder_decoder": True}

    def check(self, recipe: Recipe) -> None:
        if recipe.data.source is not None:
            raise ValueError(
                f"data.source = {recipe.data.source!r}: no data set of the index has pairs of texts; give data.train, "
                "a TSV, CSV or JSONL file of yours"
            )

    def prepare(self, recipe: Recipe, start: Start | None = None) -> "PairMaterial":
        return PairMaterial(recipe, start)

    def answers(
        self, run: "Run[TextToText]", files: Iterable[str], asked: Asked, on_error: Report
    ) -> Iterator[dict[str, Any]]:
        text_column = asked.text_column or _with_columns(run.recipe.data).text_column

        def read(file: str) -> Iterable[Document]:
            assert text_column is not None
            return read_documents(
                file, format=asked.format, text_column=text_column, label_column=None, on_error=on_error
            )

        documents = read_files(files, read, on_error)
        for document, text in write_answers(run, documents, on_error, beams=asked.beams or 1):
            shown = {"source": document.text} if asked.text is not False else {}
            yield {"id": document.id, **shown, "target": text}

    def evaluate(self, run: "Run[TextToText]", source: str, asked: Asked) -> dict[str, float]:
        if source.startswith("index:"):
            raise ReformerError(f"{source}: no data set of the index has pairs of texts; give a file")
        documents = read_source(
            source,
            _with_columns(run.recipe.data),
            format=asked.format,
            text_column=asked.text_column,
            label_column=asked.label_column,
        )
        return evaluate_pairs(run, documents, beams=asked.beams or 1)


class PairMaterial(Material):
    """Pairs of texts as token ids; a source has no special token, a target ends with the end token.

    Raises:
        DataError: a pair that cannot be read, has no target, or has too many tokens.
        ReformerError: a tokenizer without an end token.
    """

    def __init__(self, recipe: Recipe, start: Start | None = None) -> None:
        splits = load_splits(_with_columns(recipe.data), recipe.training.seed)
        texts = (text for document in splits.train for text in (document.text, document.label or ""))
        self.processor = self.tokenizer = make_tokenizer(recipe.tokenizer, texts, start)
        begin, self._end = _ends(self.tokenizer, recipe.tokenizer.kind)
        self.config = make_config(
            recipe,
            self.tokenizer,
            start,
            **TextToText.model_fields,
            decoder_start_token_id=begin,
            bos_token_id=begin,
            eos_token_id=self._end,
        )
        self.train, self.validation = self._examples(splits.train), self._examples(splits.validation)
        # Used at the end but checked now: a pair that is too long must not cost a whole run.
        self._test_examples, self._test = self._examples(splits.test), splits.test

    def collate(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        pad_token_id = self.config.pad_token_id
        assert pad_token_id is not None
        longest = few_lengths(max(len(example.target) for example in examples))
        labels = np.full((len(examples), longest), IGNORED, dtype=np.int64)
        for row, example in zip(labels, examples, strict=True):
            row[: len(example.target)] = example.target
        return pad([example.ids for example in examples], pad_token_id) | {"labels": torch.from_numpy(labels)}

    def score(self) -> CharacterScore:
        return CharacterScore()

    def measure(self, model: nn.Module, batch: dict[str, Any], score: Any) -> tuple[float, int]:
        labels = batch["labels"]
        # Counted as one item, the loss is the sum over all labels.
        loss = model(**batch, num_items_in_batch=1, return_logits=False).loss
        # Several processes each write on their own, without the wrapper that shares gradients.
        alone = getattr(model, "module", model)
        wanted = [row[(row != IGNORED) & (row != self._end)].tolist() for row in labels]
        texts = write_texts(alone, self.tokenizer, batch["input_ids"], batch["attention_mask"])
        score.update(texts, [_text(self.tokenizer, ids) for ids in wanted])
        return float(loss), int((labels != IGNORED).sum())

    def report(self, run: "Run[TextToText]") -> dict[str, float] | None:
        return evaluate_pairs(run, self._test) if self._test else None

    def sizes(self) -> Iterator[str]:
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
        ids = self.tokenizer(_wanted(document), add_special_tokens=False, verbose=False)["input_ids"]
        longest = self.config.max_position_embeddings
        if len(ids) + 1 > longest:
            raise DataError.at(
                document.source,
                f"the target has {len(ids) + 1:,} tokens, its end included, and the model writes at most {longest:,}",
                "split the pair, or train with a greater model.max_position_embeddings",
            )
        return np.array([*ids, self._end], dtype=np.int64)


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
    score, written, wanted = CharacterScore(), [], []
    for document, text in write_answers(run, documents, beams=beams):
        written.append(text)
        wanted.append(_wanted(document))
    score.update(written, wanted)
    return {"bleu": bleu(written, wanted), **score.result()}


def _wanted(document: Document) -> str:
    if document.label is None:
        raise DataError.at(document.source, "this pair has no target", "give it one, and check label_column")
    try:
        document.label.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError.at(
            document.source,
            f"character {error.start} of the target is half of a surrogate pair, no character",
            "write the target in UTF-8",
        ) from None
    return document.label


def _with_columns(recipe: DataRecipe) -> DataRecipe:
    return recipe.model_copy(
        update={"text_column": recipe.text_column or SOURCE, "label_column": recipe.label_column or TARGET}
    )


def _ends(tokenizer: PreTrainedTokenizerFast, kind: str) -> tuple[int, int]:
    """The tokens that a target begins and ends with: the tokenizer's own, or those that stand around a text."""
    begin = tokenizer.cls_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    end = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    if end is None:
        raise ReformerError(f"tokenizer.kind = {kind!r}: it has neither an end nor a separator token; add one to it")
    begin = tokenizer.pad_token_id if begin is None else begin
    assert isinstance(begin, int)
    assert isinstance(end, int)
    return begin, end


def _text(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> str:
    text = tokenizer.decode(ids, skip_special_tokens=True)
    assert isinstance(text, str)
    return text
