"""Sequence of a question and its document, and the best span of its logits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from torch.utils.data import Dataset

from reformer.data import DataError, Question
from reformer.data.batching.encoding import Offsets

NO_ANSWER = 0
"""The first token of every sequence, at which the span of a question without an answer begins and ends."""


@dataclass(frozen=True, slots=True)
class Sequenced:
    """Question and whole document as one sequence: a first token, the question, an end token, the document."""

    question: Question
    ids: np.ndarray
    first: int
    """The index of the document's first token."""
    offsets: Offsets
    """The characters of the document that each of its tokens stands for."""
    number: int = 0

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
    """The sequence of a question, or the error of one that the model cannot read."""
    query, read = (
        tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        for text in (question.text, question.document)
    )
    place = question.source or question.id
    ids = [config.bos_token_id, *query["input_ids"], config.eos_token_id, *read["input_ids"]]
    longest = config.max_position_embeddings
    if not read["input_ids"]:
        return DataError.at(place, "this document has no token", "leave it out, or give it a text")
    if len(ids) > longest:
        return DataError.at(
            place,
            f"this question with its document has {len(ids):,} tokens, and the model takes at most {longest:,}",
            "split the document, or train with a greater model.max_position_embeddings",
        )
    first = len(ids) - len(read["input_ids"])
    return Sequenced(question, np.array(ids, dtype=np.int32), first, read["offset_mapping"], number)


def logit_rows(outputs: Any) -> tuple[Float[np.ndarray, "batch length"], Float[np.ndarray, "batch length"]]:
    """Start and end logits of a batch."""
    return outputs.start_logits.float().cpu().numpy(), outputs.end_logits.float().cpu().numpy()


def best_span(
    sequence: Sequenced, start: Float[np.ndarray, " length"], end: Float[np.ndarray, " length"]
) -> SpanAnswer:
    """The likeliest span of the document, however long it is, or none where that is likelier."""
    first, last = sequence.first, len(sequence.ids)
    starts, ends = start[first:last], end[first:last]
    # The best start for each end is the best one up to there.
    best = np.maximum.accumulate(starts)
    final = int((best + ends).argmax())
    begin = int(starts[: final + 1].argmax())
    none = float(start[NO_ANSWER] + end[NO_ANSWER])
    likely = max(none, float(starts[begin] + ends[final]))
    probability = float(np.exp(likely - _log_sum(start[:last]) - _log_sum(end[:last])))
    if likely == none:
        return SpanAnswer(None, None, probability)
    return SpanAnswer(sequence.offsets[begin][0], sequence.offsets[final][1], probability)


def _log_sum(logits: Float[np.ndarray, " length"]) -> float:
    most = float(logits.max())
    return most + float(np.log(np.exp(logits.astype(np.float64) - most).sum()))
