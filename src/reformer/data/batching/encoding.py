"""Token ids of documents: tokenised once, padded batch by batch."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from reformer.data.characters import CharacterTokens
from reformer.data.documents import Document
from reformer.data.errors import DataError, OnError, TooLongError, raise_error
from reformer.wording import counted

Offsets = Sequence[tuple[int, int]]
Target = Callable[[Document, Offsets], np.ndarray]
Augmentation = Callable[[dict[str, Any], torch.Generator], dict[str, Any]]

# Handed to the tokenizer at a time: enough for its threads, few enough to hold with every token's offsets.
TEXTS_AT_A_TIME = 256
CHARACTERS_AT_A_TIME = 1 << 18


@dataclass(frozen=True, slots=True)
class Encoded:
    """A document's token ids, and the characters each token stands for."""

    document: Document
    ids: np.ndarray
    offsets: Offsets

    @property
    def record(self) -> Document:
        return self.document


@dataclass(frozen=True, slots=True)
class Example:
    """A document's token ids and its target."""

    ids: np.ndarray
    target: np.ndarray
    characters: np.ndarray | None = None
    """How its characters lie in the tokens, see `CharacterTokens`, where they are read."""
    wide_logits: np.ndarray | None = None
    """What a model's wide part says of it in training, where that is not what it would say itself."""


def encode(
    documents: Iterable[Document], tokenizer: PreTrainedTokenizerFast, longest: int, *, special_tokens: bool = False
) -> Iterator[Encoded | DataError]:
    """Tokenise documents in a stream, in order; one without tokens or with more than `longest` is its error. With
    `special_tokens` those that the tokenizer puts around a text are there; they stand for no character."""
    for batch in _portions(documents):
        encoding = tokenizer(
            [document.text for document in batch],
            add_special_tokens=special_tokens,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        for document, ids, offsets in zip(batch, encoding["input_ids"], encoding["offset_mapping"], strict=True):
            is_empty = all(start == end for start, end in offsets)
            problem = _length_problem(document, 0 if is_empty else len(ids), longest)
            yield problem or Encoded(document, np.array(ids, dtype=np.int32), offsets)


def _portions(documents: Iterable[Document]) -> Iterator[list[Document]]:
    portion, characters = [], 0
    for document in documents:
        portion.append(document)
        characters += len(document.text)
        if len(portion) == TEXTS_AT_A_TIME or characters >= CHARACTERS_AT_A_TIME:
            yield portion
            portion, characters = [], 0
    if portion:
        yield portion


def _length_problem(document: Document, length: int, longest: int) -> DataError | None:
    source = document.source or document.id
    if not length:
        return DataError.at(source, "this document has no token", "leave it out, or give it a text")
    if length > longest:
        return TooLongError.at(
            source,
            f"this document has {counted(length, 'token')}, and the model takes at most {longest:,}",
            "split it, or train with a greater model.max_position_embeddings",
        )
    return None


class Examples(Dataset[Example]):
    """Documents for training or evaluation, as token ids and targets in memory (a few bytes a token)."""

    def __init__(
        self,
        documents: Iterable[Document],
        tokenizer: PreTrainedTokenizerFast,
        target: Target,
        longest: int,
        *,
        special_tokens: bool = False,
        characters: CharacterTokens | None = None,
        on_error: OnError = raise_error,
    ):
        """`target` makes the target of a document, of its tokens or where `characters` are read of these. A document
        for which it raises a `DataError`, or that is too long, goes to `on_error` and is left out."""
        self._examples = []
        for encoded in encode(documents, tokenizer, longest, special_tokens=special_tokens):
            try:
                if isinstance(encoded, DataError):
                    raise encoded
                document, offsets, rows = encoded.document, encoded.offsets, None
                if characters is not None:
                    rows, offsets = characters(document.text, offsets), character_offsets(document.text)
                self._examples.append(Example(encoded.ids, target(document, offsets), rows))
            except DataError as error:
                on_error(error)

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Example:
        return self._examples[index]

    def with_wide_logits(self, logits: np.ndarray) -> "Examples":
        """These examples, each with its row of `logits`."""
        found = copy(self)
        found._examples = [
            replace(example, wide_logits=row) for example, row in zip(self._examples, logits, strict=True)
        ]
        return found

    @property
    def lengths(self) -> list[int]:
        """Each example's number of tokens."""
        return [len(example.ids) for example in self._examples]


def character_offsets(text: str) -> Offsets:
    """The offsets of a text's characters, one by one."""
    return [(start, start + 1) for start in range(len(text))]


def pad(ids: Sequence[np.ndarray], pad_token_id: int, length: int | None = None) -> dict[str, Tensor]:
    """Token ids and their mask, `[batch, length]`, padded at the right to a length.

    Without one it is that of the longest, or a little more.
    """
    if length is None:
        length = few_lengths(max(len(row) for row in ids))
    mask = padded([np.ones(len(row)) for row in ids], length, 0)
    return {"input_ids": padded(ids, length, pad_token_id), "attention_mask": mask}


def pad_batch(ids: Sequence[np.ndarray], pad_token_id: int) -> dict[str, Tensor]:
    """The token ids of a batch to answer, all of one `batch_length`, and their mask."""
    return pad(ids, pad_token_id, batch_length(max(len(row) for row in ids)))


def padded(rows: Sequence[np.ndarray], length: int, value: int) -> Tensor:
    """Rows of integers, `[batch, length]`, with `value` behind each."""
    filled = np.full((len(rows), length), value, dtype=np.int64)
    for place, row in zip(filled, rows, strict=True):
        place[: len(row)] = row
    return torch.from_numpy(filled)


def pad_character_rows(rows: Sequence[np.ndarray]) -> dict[str, Tensor]:
    """`CharacterTokens` of a batch as a token classifier takes them, padded at the right, pieces with -1."""
    length = max(LEAST_LENGTH, few_lengths(max(row.shape[1] for row in rows)))
    names = {"character_pieces": -1, "character_ids": 0, "character_places": 0}
    return {
        name: padded([row[number] for row in rows], length, value) for number, (name, value) in enumerate(names.items())
    }


LEAST_LENGTH = 16
"""Tokens of a padded text, at least: the products of fewer rows are summed in another order."""
LONGEST_TOGETHER = 4096
"""Tokens above which no two texts share a batch."""


def batch_length(length: int) -> int:
    """The length to which a text of so many tokens is padded for an answer: one of 8 to a doubling.

    A batch has texts of one such length alone, so that the answer to each is computed in the same way, bit for bit,
    whatever else is in the batch.
    """
    if length > LONGEST_TOGETHER:
        return few_lengths(length)
    step = 1 << max(0, length.bit_length() - 4)
    return max(LEAST_LENGTH, -(-length // step) * step)


def few_lengths(length: int) -> int:
    """The next of 32 lengths to a doubling.

    Padding changes no result, and the memory of a process that allocates blocks of ever other sizes falls into pieces.
    """
    step = 1 << max(0, length.bit_length() - 6)
    return -(-length // step) * step
