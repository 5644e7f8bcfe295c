"""Records of a file or data set: their task, the recipe's fields that name them, and their documents."""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from reformer.advice.columns import PAIR, find_columns
from reformer.data import (
    FOLDER,
    FORMATS,
    DataError,
    Document,
    Question,
    Span,
    file_format,
    find_text,
    first_records,
    format_of_records,
    load,
    load_cloze,
    load_source,
    load_texts,
    read_documents,
    read_questions,
    text_pieces,
)
from reformer.data.labels import joining_separator
from reformer.data.notes import DataWarning
from reformer.data.spans import SpanReading
from reformer.errors import ReformerError

ENTITIES, CLASSES = "token-classification", "sequence-classification"
QUESTIONS, PAIRS = "question-answering", "text-to-text"
TEXT, MASKED = "language-modelling", "masked-language-modelling"
TASKS = (ENTITIES, CLASSES, QUESTIONS, PAIRS, TEXT, MASKED)

ANNOTATED = frozenset(FORMATS) - {"csv", "tsv", "conll", "text", "fasttext", "alternating"}
FIRST = 2000
"""Records that columns and task are told from."""
MOST_PIECES_OF_TEXT = 32
"""Pieces of running text, 256 KB each, that its letters are counted in."""
ALL_SPANS = SpanReading(on_overlap="keep")
RUNNING_TEXT, CLOZE, PAGE_LENGTH = "enwik8", "people-daily-cloze", 4000


@dataclass(frozen=True)
class Records:
    """Records to learn a task from.

    `documents` can be read once. A question is a document that holds it, with a span where the answer stands; a pair is
    source and target in one.
    """

    task: str
    data: dict[str, Any]
    """Fields of the recipe's `[data]`."""
    documents: Iterable[Document] = field(repr=False)
    neighbours: bool = False
    """Whether neighbouring documents may be parts of one text."""


def find_records(
    source: str,
    *,
    task: str | None = None,
    format: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    encoding: str | None = None,
    header: bool = True,
) -> Records:
    """The records of a file, a folder of texts or a data set as `index:NAME`.

    Args:
        task: one of `TASKS`; None: the one that the records are labelled for. A folder is one of running texts, or for
            `sequence-classification` one with a folder for each class.
        encoding: of the file; None: UTF-8.
        header: whether the first line of a table names its columns.

    Raises:
        DataError: a file that cannot be read, or whose columns nothing tells.
        ReformerError: a task that is not one of `TASKS`, or that the records are not for.
    """
    if task is not None and task not in TASKS:
        raise ReformerError(f"--task {task}: expected one of {', '.join(TASKS)}")
    columns = {"--text-column": text_column, "--label-column": label_column}
    if task == CLASSES and not source.startswith("index:") and file_format(source, format) == FOLDER:
        _refuse_options(source, columns)
        reading = {"train": source} | ({} if encoding is None else {"encoding": encoding})
        return _documents(CLASSES, reading, read_documents(source, encoding=encoding), neighbours=False)
    annotated = _annotated(source, format, encoding, task, text_column, label_column)
    if annotated is not None:
        return annotated
    if source.startswith("index:") or Path(source).is_dir() or source.lower().removesuffix(".gz").endswith(".json"):
        _refuse_options(source, {"--format": format, **columns})
        if source.startswith("index:"):
            return _of_index(source, task)
        return _running_text(source, task) if Path(source).is_dir() else _questions(source, task)
    kind = file_format(source, format)
    if kind not in ("csv", "tsv", "jsonl"):
        _refuse_options(source, columns)
    if kind == "text" and task is None and format is None:
        _refuse_records(source)
    if kind == "text" and task in (None, TEXT):
        return _running_text(source, task)
    given = {"format": format, "encoding": encoding, "header": None if header else False}
    data = {"train": source} | {name: value for name, value in given.items() if value is not None}
    if kind in ("csv", "tsv", "jsonl"):
        return _of_columns(source, kind, data, task, text_column, label_column)
    own = {"conll": ENTITIES, "alternating": CLASSES}.get(kind, MASKED)
    return _documents(
        task or own, data, read_documents(source, format=format, encoding=encoding), neighbours=kind == "conll"
    )


def _annotated(
    source: str,
    format: str | None,
    encoding: str | None,
    task: str | None,
    text_column: str | None,
    label_column: str | None,
) -> Records | None:
    """The records of JSON, CoNLL-U or brat with marked entities, and in one JSON value with classes; None for others.

    Raises:
        DataError: nobody has marked anything yet, or nothing that counts.
    """
    if source.startswith("index:") or file_format(source, format) not in ANNOTATED or task not in (None, *_LEARNED):
        return None
    found = _first_annotated(source, format, encoding, text_column, label_column)
    options = {"format": format, "encoding": encoding, "text_column": text_column}
    reading: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    # An empty list of spans may as well be one of labels.
    if task in (None, ENTITIES) and label_column is None and any(document.spans for document in found):
        documents = read_documents(source, label_column=None, spans=ALL_SPANS, **reading)
        return _documents(ENTITIES, {"train": source} | reading, documents, neighbours=False)
    if not found or not source.lower().removesuffix(".gz").endswith(".json"):
        return None
    if task in (None, CLASSES) and any(each.label is not None or each.labels for each in found):
        reading |= {} if label_column is None else {"label_column": label_column}
        documents = read_documents(source, spans=SpanReading(wanted=False), **reading)
        return _documents(CLASSES, {"train": source} | reading, documents, neighbours=False)
    if task == MASKED:
        documents = read_documents(source, label_column=None, spans=SpanReading(wanted=False), **reading)
        return _documents(MASKED, {"train": source} | reading, documents, neighbours=False)
    missing = {ENTITIES: "an entity", CLASSES: "a label"}.get(task or "", "an entity or a label")
    raise DataError(source, None, f"nothing is labelled yet: no text has {missing}", _UNLABELLED)


_LEARNED = (ENTITIES, CLASSES, MASKED)
_UNLABELLED = f"label the texts and export them again; for texts without labels give --task {MASKED}"


def _first_annotated(
    source: str, format: str | None, encoding: str | None, text: str | None, label: str | None
) -> list[Document]:
    """The first documents, whatever is marked in them; empty where the file has other records."""
    reading: dict[str, Any] = {"encoding": encoding, "text_column": text or "text", "label_column": label or "label"}
    found: list[Document] = []
    with warnings.catch_warnings(record=True) as told, suppress(DataError):
        warnings.simplefilter("always", DataWarning)
        documents = read_documents(source, format=format, spans=ALL_SPANS, on_error=lambda error: None, **reading)
        found = list(islice(documents, FIRST))
    if not found and any("annotator" in str(each.message) for each in told):
        problem = "no record counts: the annotator rejected, ignored or skipped each"
        raise DataError(source, None, problem, _UNLABELLED.partition(";")[0])
    return found


def _refuse_options(source: str, options: Mapping[str, str | None]) -> None:
    """Refuse options that this source has no use for."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ReformerError(
            f"{source}: {' and '.join(given)} would have no effect, as this is read in one way and has no columns; "
            "leave it out"
        )


def _of_index(source: str, task: str | None) -> Records:
    name = source.removeprefix("index:")
    if name == RUNNING_TEXT:
        _refuse_other(source, task, TEXT, "running text")
        pieces = (text for stretch in load_texts(source)["train"] for _, text in text_pieces(stretch))
        return Records(TEXT, {"source": source}, _first_pieces(source, pieces))
    if name == CLOZE:
        _refuse_other(source, task, QUESTIONS, "questions")
        data = {"source": source, "max_length": PAGE_LENGTH}
        return Records(QUESTIONS, data, map(_of_question, load_cloze(PAGE_LENGTH)["train"]))
    documents = load(name, split="train")
    own = ENTITIES if documents[0].spans is not None else CLASSES
    return _documents(task or own, {"source": source}, iter(documents), neighbours=own == ENTITIES)


def _of_columns(
    source: str, kind: str, data: dict[str, Any], task: str | None, text: str | None, label: str | None
) -> Records:
    reading: dict[str, Any] = {"encoding": data.get("encoding"), "header": data.get("header", True)}
    first = first_records(source, kind, FIRST, **reading)
    fields = {name for record in first for name in record}
    if task == QUESTIONS or (task is None and {"question", "context"} <= fields):
        return _questions(source, task)
    if not first:
        # Its reader says what is wrong with the file, or else that it is empty.
        return _documents(task or MASKED, data, read_documents(source, format=kind, **reading), neighbours=False)
    has_spans = label is None and any(isinstance(record.get("spans"), list) for record in first)
    with_label = task in (CLASSES, PAIRS) or (task is None and not has_spans)
    has_header = kind in ("csv", "tsv") and reading["header"]
    columns = find_columns(
        source, first, text, label if with_label else None, with_label=with_label, has_header=has_header
    )
    if with_label and columns.label is None and task is not None:
        raise DataError(
            source,
            None,
            f"--task {task} needs a label for each text, and the columns are {', '.join(sorted(map(repr, fields)))}",
            "give the file a column of labels, or leave --task out",
        )
    if task is None:
        unlabelled = ENTITIES if has_spans else MASKED
        task = unlabelled if columns.label is None else PAIRS if columns.are_pairs else CLASSES
    # Where a recipe says nothing, pairs have other columns than classes.
    usual = PAIR if task == PAIRS else ("text", "label")
    named = {"text_column": columns.text, "label_column": columns.label}
    data |= {name: value for (name, value), own in zip(named.items(), usual, strict=True) if value not in (None, own)}
    separator = None
    if task == CLASSES and columns.label is not None:
        values = (record.get(columns.label) for record in first)
        separator = joining_separator(value for value in values if isinstance(value, str))
        data |= {} if separator is None else {"label_separator": separator}
    reading["label_separator"] = separator
    # An empty list of labels is none of spans.
    reading["spans"] = SpanReading(wanted=False) if task == CLASSES else ALL_SPANS
    documents = load_source(source, format=kind, text_column=columns.text, label_column=columns.label, **reading)
    return _documents(task, data, documents, neighbours=False)


def _documents(task: str, data: dict[str, Any], documents: Iterator[Document], *, neighbours: bool) -> Records:
    if task not in (ENTITIES, CLASSES, PAIRS, MASKED):
        wanted = "a .txt file or a folder of them" if task == TEXT else 'records with "question" and "context"'
        raise ReformerError(f"--task {task} needs {wanted}, and these are documents; give such a file, or leave it out")
    if task == MASKED:
        return Records(task, data, (Document(each.text, each.id, source=each.source) for each in documents))
    labelled = _labelled(task, documents)
    if task == PAIRS:
        labelled = (Document(f"{each.text}\n{each.label}", each.id, source=each.source) for each in labelled)
    return Records(task, data, labelled, neighbours=neighbours)


def _labelled(task: str, documents: Iterable[Document]) -> Iterator[Document]:
    """The documents, each checked to have what the task learns from."""
    for number, document in enumerate(documents):
        given = document.spans if task == ENTITIES else document.label
        if given is None and not (task == CLASSES and document.labels is not None):
            what = {ENTITIES: "entities are marked (spans)", CLASSES: "label is given"}.get(task, "target is given")
            empty = ', an empty "spans" list where there is no entity' if task == ENTITIES else ""
            others = f", and the {number:,} before it have some" if number else ""
            raise DataError.at(
                document.source or document.id,
                f"--task {task}: no {what} for this record{others}",
                f"label every record{empty}; for texts without labels give --task {MASKED}",
            )
        yield document


def _questions(source: str, task: str | None) -> Records:
    _refuse_other(source, task, QUESTIONS, "questions")
    return Records(QUESTIONS, {"train": source}, map(_of_question, read_questions(source)))


def _of_question(question: Question) -> Document:
    if question.answers is None:
        raise DataError.at(
            question.source or question.id,
            "nothing says which answer this question has",
            'give "answers", empty lists where the document has none',
        )
    text = f"{question.text}\n{question.document}"
    before = len(question.text) + 1
    spans = tuple(Span(before + start, before + end, "answer") for start, end in question.answers[:1])
    return Document(text, question.id, spans=spans, source=question.source)


def _refuse_records(source: str) -> None:
    """Raise `DataError` for a text whose first lines are records: learned as running text, labels would be words."""
    text = next((text for stretch in find_text(source) for _, text in text_pieces(stretch)), "")
    found = format_of_records(text)
    if found is not None:
        form, remedy = found
        raise DataError(source, 1, f"the lines look like {form}", f"{remedy}, or --task {TEXT} for running text")


def _running_text(source: str, task: str | None) -> Records:
    _refuse_other(source, task, TEXT, "running text")
    pieces = (text for stretch in find_text(source) for _, text in text_pieces(stretch))
    return Records(TEXT, {"train": source}, _first_pieces(source, pieces))


def _first_pieces(source: str, pieces: Iterable[str]) -> Iterator[Document]:
    for number, text in enumerate(islice(pieces, MOST_PIECES_OF_TEXT)):
        yield Document(text, f"{source}:{number}")


def _refuse_other(source: str, task: str | None, own: str, what: str) -> None:
    if task not in (None, own):
        raise ReformerError(f"{source}: this is {what}, for {own}, and --task {task} was asked for; leave it out")
