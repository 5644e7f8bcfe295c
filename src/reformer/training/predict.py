"""Answers about documents in a stream: in their order, exact to the character, in constant memory."""

from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch

from reformer.data import DataError, Document
from reformer.data.errors import OnError, raise_error
from reformer.training.batches import TokenBatches
from reformer.training.examples import Encoded, encode, pad

if TYPE_CHECKING:
    from reformer.training.document_tasks import Answer, DocumentTask
    from reformer.training.run import Run

# A batch of this many tokens, padding included, unless one document has more.
BATCH_TOKENS = 8192
# So much is read ahead to find documents of about one length to put into a batch.
TOKENS_AHEAD = 8 * BATCH_TOKENS
DOCUMENTS_AHEAD = 1024


def predict(
    run: "Run[DocumentTask]",
    documents: Iterable[Document],
    on_error: OnError = raise_error,
    *,
    batch_tokens: int = BATCH_TOKENS,
) -> "Iterator[tuple[Document, Answer]]":
    """Each document with the model's answer, in the documents' order.

    No text is cut: a document goes through the model in one pass. However many documents there are, only a few
    thousand tokens' worth of them, or one long one, are held at a time. A document that the model cannot take (no
    token, or more than its maximum) goes to `on_error` as its error and the next one is read; without `on_error`
    it is raised.
    """
    for portion in portions(readable(run, documents), on_error):
        yield from _answers(run, portion, batch_tokens)


class Readable(Protocol):
    """What a model can read, as token ids."""

    @property
    def ids(self) -> Sized: ...


R = TypeVar("R", bound=Readable)


def readable(run: "Run[Any]", documents: Iterable[Document]) -> Iterator[Encoded | DataError]:
    """The documents tokenised and in their order; in place of one that the model cannot take, its error."""
    return encode(documents, run.tokenizer, run.model.config.max_position_embeddings)


def portions(sequences: Iterable[R | DataError], on_error: OnError = raise_error) -> Iterator[list[R]]:
    """The sequences in their order, as many at a time as may be held to find some of about one length.

    An error among them goes to `on_error`, or is raised without it.
    """
    portion: list[R] = []
    tokens = 0
    for sequence in sequences:
        if isinstance(sequence, DataError):
            on_error(sequence)
            continue
        if portion and (tokens + len(sequence.ids) > TOKENS_AHEAD or len(portion) == DOCUMENTS_AHEAD):
            yield portion
            portion, tokens = [], 0
        portion.append(sequence)
        tokens += len(sequence.ids)
    yield portion


def _answers(
    run: "Run[DocumentTask]", portion: Sequence[Encoded], batch_tokens: int
) -> "Iterator[tuple[Document, Answer]]":
    answers: list[Answer | None] = [None] * len(portion)
    labels = run.labels
    pad_token_id = run.model.config.pad_token_id
    for indices in TokenBatches([len(encoded.ids) for encoded in portion], batch_tokens=batch_tokens):
        batch = pad([portion[index].ids for index in indices], pad_token_id)
        with torch.inference_mode():
            logits = run.model(**{name: value.to(run.model.device) for name, value in batch.items()}).logits
        # A row of a token task has an output for each token, and padding ends with the document.
        for index, row in zip(indices, logits.float().cpu().numpy(), strict=True):
            encoded = portion[index]
            outputs = row[: len(encoded.ids)] if row.ndim == 2 else row
            answer = run.task.answer(outputs, encoded.offsets, encoded.document.text, labels)
            answers[index] = answer.of_types(run.recipe.training.answer_types)
    for encoded, answer in zip(portion, answers, strict=True):
        assert answer is not None
        yield encoded.document, answer


def evaluate(run: "Run[DocumentTask]", documents: Iterable[Document]) -> dict[str, float]:
    """Score the model on documents whose answer is known, by characters, in constant memory.

    Raises:
        DataError: a document without an answer, with a label the model does not know, or too long for it.
    """
    score = run.task.score(run.labels, run.recipe.training)
    documents_read = characters = 0
    for document, answer in predict(run, documents):
        run.task.count(score, answer, document)
        documents_read += 1
        characters += len(document.text)
    return {"documents": documents_read, "characters": characters, **score.result()}


def as_json(document: Document, answer: "Answer", *, with_text: bool = True) -> dict[str, Any]:
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
