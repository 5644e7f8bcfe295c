"""Prediction and evaluation of documents by a trained run: batch by batch, in order, nothing cut."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from transformers import PreTrainedTokenizerFast

from reformer.data import DataError, Document
from reformer.data.batching.encoding import Encoded, Offsets, character_offsets, encode, pad_batch, pad_character_rows
from reformer.data.batching.read_ahead import BATCH_TOKENS, in_order
from reformer.data.characters import CharacterTokens
from reformer.data.errors import OnError, raise_error
from reformer.metrics.review import Review
from reformer.tasks.base import Run, to_device
from reformer.tasks.documents.answer import DocumentAnswer

Reading = tuple[Offsets, str]
"""The characters of each token or character that has an output, and the text."""

Packed = tuple[Document, Int[np.ndarray, " length"], Int[np.ndarray, "length 2"]]
"""A document, its token ids and their offsets, in a few bytes a token where an `Encoded` has a tuple a token."""


def reading(config: Any) -> dict[str, Any]:
    """How a model reads texts, as arguments of `encode`."""
    return {"longest": config.max_position_embeddings, "special_tokens": config.special_tokens}


def character_reading(task: Any, config: Any, tokenizer: PreTrainedTokenizerFast) -> CharacterTokens | None:
    """How the characters of a text lie in its tokens, where the task's model labels characters."""
    labels_characters = "classifier_reads" in task.model_options and config.classifier_reads == "characters"
    return CharacterTokens(tokenizer) if labels_characters else None


def unpacked(packed: Packed) -> Encoded:
    """The document as it was before it was packed."""
    document, ids, offsets = packed
    return Encoded(document, ids, [(start, end) for start, end in offsets.tolist()])


def predict(
    run: Run[Any],
    documents: Iterable[Document],
    on_error: OnError = raise_error,
    *,
    batch_tokens: int = BATCH_TOKENS,
) -> Iterator[tuple[Document, DocumentAnswer]]:
    """Each document with the model's answer, in the documents' order.

    No text is cut: a document goes through the model in one pass. However many documents there are, only a few
    thousand tokens' worth of them, or one long one, are held at a time. A document that the model cannot take (no
    token, or more than its maximum) goes to `on_error` as its error and the next one is read; without `on_error`
    it is raised.
    """
    sequences = encode(documents, run.tokenizer, **reading(run.model.config))
    return predict_encoded(run, sequences, on_error, batch_tokens)


def predict_encoded(
    run: Run[Any],
    sequences: Iterable[Encoded | DataError],
    on_error: OnError = raise_error,
    batch_tokens: int = BATCH_TOKENS,
) -> Iterator[tuple[Document, DocumentAnswer]]:
    """`predict`, for documents that are tokenised."""
    for encoded, answer in in_order(sequences, answering(run), batch_tokens=batch_tokens, on_error=on_error):
        yield encoded.document, answer


def answering(run: Run[Any]) -> Callable[[list[Encoded]], list[DocumentAnswer]]:
    """What answers a batch of documents, with calibrated probabilities."""
    labels, types = run.labels, run.task.entity_types(run.recipe)
    characters = character_reading(run.task, run.model.config, run.tokenizer)

    def answer_batch(batch: list[Encoded]) -> list[DocumentAnswer]:
        inputs = pad_batch([encoded.ids for encoded in batch], run.model.config.pad_token_id)
        real = inputs["attention_mask"].bool()
        texts: list[Reading] = [(encoded.offsets, encoded.document.text) for encoded in batch]
        if characters is not None:
            inputs |= pad_character_rows([characters(each.document.text, each.offsets) for each in batch])
            real = inputs["character_pieces"] >= 0
            texts = [(character_offsets(text), text) for _, text in texts]
        with torch.inference_mode():
            output = run.model(**to_device(inputs, run.model.device))
            answers = run.task.answers(run.model, output, real.to(run.model.device), texts, labels)
        return [answer.of_types(types).calibrated(run.calibration) for answer in answers]

    return answer_batch


def evaluate(run: Run[Any], documents: Iterable[Document]) -> dict[str, int | float]:
    """The metrics of the model on labelled documents, by characters, in constant memory.

    Raises:
        DataError: a document without a label, with one that the model does not know, or too long for it.
    """
    return evaluate_answers(run, predict(run, documents))


def evaluate_answers(run: Run[Any], answers: Iterable[tuple[Document, DocumentAnswer]]) -> dict[str, int | float]:
    """The metrics of answers to labelled documents."""
    metric = run.task.new_metric(run.labels, run.recipe.training)
    documents = characters = 0
    for document, answer in answers:
        run.task.count(metric, answer, document)
        documents += 1
        characters += len(document.text)
    return {"documents": documents, "characters": characters, **metric.result()}


def review(run: Run[Any], documents: Iterable[Document]) -> Review:
    """The review of the model on labelled documents, with the metrics of `evaluate`."""
    return review_answers(run, predict(run, documents))


def review_answers(run: Run[Any], answers: Iterable[tuple[Document, DocumentAnswer]]) -> Review:
    """The review of answers to labelled documents."""
    found = run.task.new_review(run)

    def counted() -> Iterator[tuple[Document, DocumentAnswer]]:
        for document, answer in answers:
            # First the metric: it names what is wrong with a document.
            yield document, answer
            run.task.count_in_review(found, answer, document)

    found.metrics = evaluate_answers(run, counted())
    return found
