"""Sequence of a question and its document, and the best span of its logits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from torch.utils.data import Dataset

from reformer.data import DataError, Question
from reformer.data.batching.encoding import Offsets
from reformer.data.errors import TooLongError
from reformer.wording import counted

NO_ANSWER = 0
"""The first token of every sequence, at which the span of a question without an answer begins and ends."""


@dataclass(frozen=True, slots=True)
class Sequenced:
    """Question and whole document as one sequence: a first token, the question, tokens between them, the document."""

    question: Question
    ids: np.ndarray
    first: int
    """The index of the document's first token."""
    offsets: Offsets
    """The characters of the document that each of its tokens stands for."""
    number: int = 0

    @property
    def record(self) -> Question:
        return self.question

    def target(self) -> tuple[int, int]:
        """The first and the last token of the answer, or of the first of several; `NO_ANSWER` twice for none."""
        if not self.question.answers:
            return NO_ANSWER, NO_ANSWER
        start, end = self.question.answers[0]
        inside = [place for place, (low, high) in enumerate(self.offsets) if low < end and high > start]
        return self.first + inside[0], self.first + inside[-1]


@dataclass(frozen=True, slots=True)
class SpanAnswer:
    """Answer of a model: the characters `start` to `end` (excluded) of the document, or None twice for no answer."""

    start: int | None
    end: int | None
    probability: float

    def text(self, document: str) -> str | None:
        """The answer, exactly as it stands in the document."""
        return None if self.start is None else document[self.start : self.end]


class Sequences(Dataset[Sequenced]):
    """Questions with their documents, as token ids in memory."""

    def __init__(self, sequences: Sequence[Sequenced]) -> None:
        self._sequences = sequences

    def __len__(self) -> int:
        return len(self._sequences)

    def __getitem__(self, index: int) -> Sequenced:
        return self._sequences[index]

    @property
    def lengths(self) -> list[int]:
        """How many tokens each is, question and document."""
        return [len(sequence.ids) for sequence in self._sequences]


def encode_question(question: Question, tokenizer: Any, config: Any, number: int = 0) -> Sequenced | DataError:
    """The sequence of a question, or the error of one that the model cannot read.

    With `config.special_tokens` it is the pair that the tokenizer makes of both, as a pretrained encoder has learned;
    otherwise a first token, the question, an end token, the document.
    """
    ids, first, offsets = (_pair if config.special_tokens else _marked)(question, tokenizer, config)
    place = question.source or question.id
    longest = config.max_position_embeddings
    if not offsets:
        return DataError.at(place, "this document has no token", "leave it out, or give it a text")
    if len(ids) > longest:
        return TooLongError.at(
            place,
            f"this question with its document has {counted(len(ids), 'token')}, and the model takes at most "
            f"{longest:,}",
            "split the document, or train with a greater model.max_position_embeddings",
        )
    return Sequenced(question, np.array(ids, dtype=np.int32), first, offsets, number)


def marks_pairs(tokenizer: Any) -> bool:
    """Whether a tokenizer puts a token of its own before a pair of texts, and one between them."""
    parts = tokenizer("a", "a", verbose=False).sequence_ids()
    return None in parts[:1] and None in parts[parts.index(0) : parts.index(1)]


def _marked(question: Question, tokenizer: Any, config: Any) -> tuple[list[int], int, Offsets]:
    query, read = (
        tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        for text in (question.text, question.document)
    )
    ids = [config.bos_token_id, *query["input_ids"], config.eos_token_id, *read["input_ids"]]
    return ids, len(ids) - len(read["input_ids"]), read["offset_mapping"]


def _pair(question: Question, tokenizer: Any, config: Any) -> tuple[list[int], int, Offsets]:
    encoding = tokenizer(question.text, question.document, return_offsets_mapping=True, verbose=False)
    inside = [place for place, part in enumerate(encoding.sequence_ids()) if part == 1]
    if not inside:
        return encoding["input_ids"], 0, []
    first, last = inside[0], inside[-1]
    return encoding["input_ids"], first, encoding["offset_mapping"][first : last + 1]


def logit_rows(outputs: Any) -> tuple[Float[np.ndarray, "batch length"], Float[np.ndarray, "batch length"]]:
    """Start and end logits of a batch."""
    return outputs.start_logits.float().cpu().numpy(), outputs.end_logits.float().cpu().numpy()


def best_span(
    sequence: Sequenced, start: Float[np.ndarray, " length"], end: Float[np.ndarray, " length"]
) -> SpanAnswer:
    """The likeliest span of the document, however long it is, or none where that is likelier."""
    first, last = sequence.first, sequence.first + len(sequence.offsets)
    starts, ends = start[first:last], end[first:last]
    # The best start for each end is the best one up to there.
    best = np.maximum.accumulate(starts)
    final = int((best + ends).argmax())
    begin = int(starts[: final + 1].argmax())
    none = float(start[NO_ANSWER] + end[NO_ANSWER])
    likely = max(none, float(starts[begin] + ends[final]))
    length = len(sequence.ids)
    probability = float(np.exp(likely - _log_sum(start[:length]) - _log_sum(end[:length])))
    if likely == none:
        return SpanAnswer(None, None, probability)
    return SpanAnswer(sequence.offsets[begin][0], sequence.offsets[final][1], probability)


def _log_sum(logits: Float[np.ndarray, " length"]) -> float:
    most = float(logits.max())
    return most + float(np.log(np.exp(logits.astype(np.float64) - most).sum()))
