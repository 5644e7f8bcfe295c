"""Texts that a run is inspected on, each as its model reads it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch

from reformer.data import Document, Stretch, find_text, load_texts, text_pieces
from reformer.data.batching.encoding import Encoded, Offsets, encode, pad_batch
from reformer.data.errors import raise_error
from reformer.errors import ReformerError
from reformer.tasks.base import Run, to_device
from reformer.tasks.document_splits import TextDataRecipe, joined, read_labelled, read_unlabelled
from reformer.tasks.documents.prediction import reading
from reformer.tasks.documents.task import DocumentTask
from reformer.tasks.language_modelling import LanguageModelling
from reformer.tasks.masked_language_modelling import MaskedLanguageModelling
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.predicting import PredictingTask


@dataclass(frozen=True, slots=True)
class InspectedText:
    """A text, or another record, and how its model reads it."""

    id: str
    length: int
    """Tokens."""
    text: str | None
    """None for a record that is no single text."""
    offsets: Offsets | None
    """The characters of each token, where there is a text."""
    ids: np.ndarray | None
    """The tokens, where there is a text."""
    read: Callable[[], object]
    """Runs the model on it."""


def test_part(run: Run[Any]) -> list[str]:
    """The test files or the data set that a run's recipe names.

    Raises:
        ReformerError: it names none.
    """
    data = run.recipe.data
    source = data.source if data.source is not None else data.test
    if source is None:
        raise ReformerError(f"{run.folder}: its recipe names no test data; name a file to inspect it on")
    return [source]


def inspected_texts(
    run: Run[Any], sources: Sequence[str], options: PredictOptions, most: int, *, labelled: bool
) -> Iterator[InspectedText]:
    """The first records of the sources, at most so many.

    Args:
        labelled: read them as `evaluate` does, so that what is wrong with their labels is told.
    """
    if isinstance(run.task, LanguageModelling):
        texts = _stretches(run, sources, options)
    elif isinstance(run.task, DocumentTask | MaskedLanguageModelling):
        texts = _documents(run, documents(run, sources, options, labelled=labelled))
    elif isinstance(run.task, PredictingTask):
        texts = _records(run, sources, options)
    else:
        raise ReformerError(f"{run.folder}: a run that has learned {run.recipe.training.task} cannot be inspected")
    yield from islice(texts, most)


def documents(run: Run[Any], sources: Sequence[str], options: PredictOptions, *, labelled: bool) -> Iterator[Document]:
    """The documents of the sources, for a task that reads documents; of a masked language model joined, as those are
    that it is measured on."""
    recipe: TextDataRecipe = run.recipe.data

    def read() -> Iterator[Document]:
        for source in sources:
            if labelled or source.startswith("index:"):
                yield from read_labelled(source, recipe, options)
            else:
                yield from read_unlabelled(source, recipe, options, raise_error)

    yield from joined(read(), recipe) if isinstance(run.task, MaskedLanguageModelling) else read()


def running_text(sources: Sequence[str], options: PredictOptions) -> list[Stretch]:
    """The text of the sources, for a task that reads running text.

    Raises:
        ReformerError: an option means nothing to such a text.
    """
    given = [name for name in ("format", "encoding", "text_column") if getattr(options, name) is not None]
    if given:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ReformerError(f"{named}: running text has no format and is UTF-8, or any bytes; leave it out")
    found: list[Stretch] = []
    for source in sources:
        if not source.startswith("index:"):
            found += find_text(source)
            continue
        parts = load_texts(source)
        if options.split not in parts:
            raise ReformerError(f"--split {options.split}: {source} has {', '.join(parts)}")
        found += parts[str(options.split)]
    return found


def _documents(run: Run[Any], found: Iterator[Document]) -> Iterator[InspectedText]:
    for encoded in encode(found, run.tokenizer, **reading(run.model.config)):
        if not isinstance(encoded, Encoded):
            raise encoded
        yield _inspected(run, encoded)


def _records(run: Run[Any], sources: Sequence[str], options: PredictOptions) -> Iterator[InspectedText]:
    answer = run.task.answering(run, options)
    for sequence in run.task.sequences(run, sources, options, raise_error):
        if isinstance(sequence, Exception):
            raise sequence
        is_text = isinstance(sequence, Encoded)
        yield InspectedText(
            str(getattr(sequence.record, "id", "")),
            len(sequence.ids),
            sequence.document.text if is_text else None,
            sequence.offsets if is_text else None,
            sequence.ids if is_text else None,
            lambda sequence=sequence: answer([sequence]),
        )


def _stretches(run: Run[Any], sources: Sequence[str], options: PredictOptions) -> Iterator[InspectedText]:
    """Running text as sequences of the length that was learned."""
    length = run.recipe.data.sequence_length
    for stretch in running_text(sources, options):
        for begin, text in text_pieces(stretch):
            encoding = run.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            ids, offsets = encoding["input_ids"], encoding["offset_mapping"]
            for first in range(0, len(ids), length):
                places = offsets[first : first + length]
                start, end = places[0][0], places[-1][1]
                moved = [(left - start, right - start) for left, right in places]
                document = Document(text[start:end], f"{stretch.name}:{begin}+{start}")
                yield _inspected(run, Encoded(document, np.array(ids[first : first + length], dtype=np.int32), moved))


def _inspected(run: Run[Any], encoded: Encoded) -> InspectedText:
    inputs = pad_batch([encoded.ids], run.model.config.pad_token_id)

    @torch.no_grad()
    def read() -> object:
        # What the head makes of the layers' output is not looked at.
        return run.model.base_model(**to_device(inputs, run.model.device))

    return InspectedText(
        encoded.document.id, len(encoded.ids), encoded.document.text, encoded.offsets, encoded.ids, read
    )
