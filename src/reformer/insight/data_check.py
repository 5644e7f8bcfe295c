"""Check of data before training: figures, faults with their places, and what should be known."""

import os
import statistics
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any

from reformer.advice.profile import profile
from reformer.advice.records import CLASSES, ENTITIES, PAIRS, QUESTIONS, TEXT, find_records
from reformer.data import DataError, Document, Question, file_format, load_source, read_questions
from reformer.data.notes import DataWarning
from reformer.data.spans import SpanReading
from reformer.errors import ReformerError
from reformer.insight.near_duplicates import MOST_TEXTS, near_duplicates
from reformer.insight.tag_sequences import broken_sequences
from reformer.insight.tokens import TokenCheck
from reformer.recipe import Recipe
from reformer.wording import counted

RARE = 5
"""Records of a label below which there is little to learn from, and to measure."""
FAR_APART = 50
"""How many times as often the most frequent label occurs as the rarest, from which this is told."""
MOST_NAMED = 10
"""Labels or examples that one line names, at most."""
_LABELS = {CLASSES: "label", ENTITIES: "spans", PAIRS: "target"}


@dataclass(frozen=True)
class Fault:
    """Something in the data that is wrong, with its place and what to do about it."""

    path: str | None
    line: int | None
    problem: str
    remedy: str

    @classmethod
    def of(cls, error: DataError) -> "Fault":
        return cls(error.path, error.line, error.problem, error.remedy)

    def __str__(self) -> str:
        return str(DataError(self.path, self.line, self.problem, self.remedy))


@dataclass(frozen=True)
class DataReport:
    """Figures of a file of records, its faults, and what is no fault but should be known."""

    source: str
    task: str
    records: int
    characters: int
    lengths: Mapping[str, int]
    """In characters: shortest, median, 95 of 100, longest."""
    labels: Mapping[str, int]
    """Records by class, or entities by type, the most frequent first."""
    scripts: Mapping[str, float]
    faults: Sequence[Fault]
    notes: Sequence[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check_data(
    source: str,
    recipe: Recipe | None = None,
    *,
    task: str | None = None,
    format: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    encoding: str | None = None,
    header: bool = True,
) -> DataReport:
    """The report on a file of documents, pairs or questions, which is read whole: no fault hides another.

    Args:
        recipe: that will learn from the file. It says how the file is read, and is the measure of what its tokenizer
            knows, what its model can take, and what stands in its other parts, too.
        task: what the records are for; None: what they are labelled for.

    Raises:
        ReformerError: a source that has no records, such as a folder of running texts.
    """
    faults: list[Fault] = []

    def note_fault(error: DataError) -> None:
        faults.append(Fault.of(error))

    options = {"format": format, "text_column": text_column, "label_column": label_column, "encoding": encoding}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", DataWarning)
        try:
            if recipe is None:
                found = find_records(source, task=task, header=header, **options)
                task, data = found.task, found.data
            else:
                task, data = recipe.training.task, recipe.data.model_dump()
                data |= {name: value for name, value in options.items() if value is not None}
            documents = list(_documents(source, task, data, note_fault, _span_reading(recipe)))
        except DataError as error:
            note_fault(error)
            documents = []
    notes = [str(each.message) for each in warned if issubclass(each.category, DataWarning)]
    if task is not None:
        _check_labels(task, documents, note_fault)
    if not source.startswith("index:") and documents and _is_conll(source, format):
        for error in broken_sequences(source, encoding):
            note_fault(error)
    notes += _repeated(task, documents, note_fault)
    if recipe is not None:
        notes += _with_recipe(source, recipe, documents, note_fault)
    return _report(source, task or "unknown", documents, faults, notes)


def _documents(
    source: str,
    task: str,
    data: Mapping[str, Any],
    on_error: Callable[[DataError], object],
    spans: SpanReading,
) -> Iterator[Document]:
    if task == QUESTIONS:
        for question in read_questions(source, encoding=data.get("encoding"), on_error=on_error):
            yield _of_question(question)
        return
    if task not in (*_LABELS, "masked-language-modelling"):
        what = "running text" if task == TEXT else f"data of {task}"
        raise ReformerError(f"{source}: this is {what}, and records are checked: documents, pairs or questions")
    text, label = ("source", "target") if task == PAIRS else ("text", "label")
    is_set = source.startswith("index:")
    yield from load_source(
        source,
        split="train" if is_set else None,
        format=data.get("format"),
        text_column=data.get("text_column") or text,
        label_column=(data.get("label_column") or label) if task in (CLASSES, PAIRS) else None,
        encoding=data.get("encoding"),
        header=data.get("header", True),
        spans=spans,
        on_error=on_error,
    )


def _span_reading(recipe: Recipe | None) -> SpanReading:
    return getattr(None if recipe is None else recipe.data, "spans", None) or SpanReading()


def _of_question(question: Question) -> Document:
    return Document(f"{question.text}\n{question.document}", question.id, source=question.source)


def _is_conll(source: str, format: str | None) -> bool:
    try:
        return not os.path.isdir(source) and file_format(source, format) == "conll"
    except DataError:
        return False


def _check_labels(task: str, documents: Iterable[Document], on_error: Callable[[DataError], object]) -> None:
    for document in documents:
        missing = document.spans is None if task == ENTITIES else task in _LABELS and document.label is None
        if missing:
            remedy = 'give it one, an empty list of "spans" where there is no entity'
            on_error(DataError.at(document.source or document.id, f"the record has no {_LABELS[task]}", remedy))


def _repeated(
    task: str | None, documents: Sequence[Document], on_error: Callable[[DataError], object]
) -> Iterator[str]:
    """Lines about texts and ids that recur; the same text with other labels is a fault."""
    first: dict[bytes, Document] = {}
    different: list[Document] = []
    ids = Counter(document.id for document in documents)
    count = 0
    for document in documents:
        other = first.setdefault(digest(document.text), document)
        if other is document:
            different.append(document)
            continue
        count += 1
        if task != PAIRS and (other.label, other.spans) != (document.label, document.spans):
            what = "entities" if task == ENTITIES else f"label {other.label!r}, and here {document.label!r}"
            told = (
                f"the text of {other.source or other.id} again, with other {what}"
                if task == ENTITIES
                else (f"the text of {other.source or other.id} again, there with the {what}")
            )
            on_error(DataError.at(document.source or document.id, told, "correct one of the two, or delete it"))
    if count:
        yield f"{count:,} of {len(documents):,} texts stand more than once"
    repeated = [name for name, number in ids.items() if number > 1]
    if repeated:
        yield f"{counted(len(repeated), 'id', 'stand')} more than once, such as {repeated[0]!r}"
    pairs = list(near_duplicates([document.text for document in different]))
    if pairs:
        shown = ", ".join(
            f"{different[one].source or different[one].id} and {_line(different[other])} ({similarity:.0%})"
            for one, other, similarity in pairs[:MOST_NAMED]
        )
        yield f"{counted(len(pairs), 'text', 'are')} nearly the same as an earlier one: {shown}"
    if len(different) > MOST_TEXTS:
        yield (
            f"near-duplicates were looked for in the first {MOST_TEXTS:,} of "
            f"{counted(len(different), 'different text')}"
        )
    damaged = [document for document in documents if "\ufffd" in document.text or "\0" in document.text]
    if damaged:
        shown = ", ".join(map(_line, damaged[:MOST_NAMED]))
        yield f"{counted(len(damaged), 'text', 'have')} characters of a decoding that failed (U+FFFD or 0): {shown}"


def _line(document: Document) -> str:
    line = document.source.rpartition(":")[2]
    return f"line {line}" if line.isdecimal() else document.id


def digest(text: str) -> bytes:
    """A digest of a text by which it is found again, whatever white space is around it."""
    return blake2b(text.strip().encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _with_recipe(
    source: str, recipe: Recipe, documents: Sequence[Document], on_error: Callable[[DataError], object]
) -> Iterator[str]:
    """Lines about the file beside the recipe's other parts, its tokenizer and its model."""
    parts = {name: getattr(recipe.data, name) for name in ("train", "validation", "test")}
    own = next((name for name, path in parts.items() if path and _same_file(path, source)), None)
    others: dict[str, list[Document]] = {}
    for name, path in parts.items():
        if path and name != own:
            try:
                others[name] = list(
                    _documents(
                        path, recipe.training.task, recipe.data.model_dump(), lambda error: None, _span_reading(recipe)
                    )
                )
            except DataError as error:
                on_error(error)
    for name, held in others.items():
        # What is learned from is never the fault: of two parts that share a text, that which measures.
        learned, measured, part = (documents, held, name) if own == "train" else (held, documents, own or "this file")
        if name != "train" and own != "train":
            continue
        known = {digest(document.text): document for document in learned}
        for document in measured:
            if (other := known.get(digest(document.text))) is not None:
                told = f"this text of {part} is in the training part, too ({other.source or other.id})"
                on_error(DataError.at(document.source or document.id, told, "take it out of one of the two"))
    if own != "train" and "train" in others:
        yield from _unknown_labels(others["train"], documents)
    yield from TokenCheck(recipe, others.get("train", documents)).check(documents, on_error)


def _unknown_labels(train: Sequence[Document], documents: Sequence[Document]) -> Iterator[str]:
    known = _label_counts(train)
    unknown = [name for name in _label_counts(documents) if name not in known]
    if unknown and known:
        yield f"the training part has no {', '.join(map(repr, unknown[:MOST_NAMED]))}: nothing is learned of it"


def _same_file(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _label_counts(documents: Iterable[Document]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for document in documents:
        if document.label is not None:
            counts[document.label] += 1
        counts.update(span.label for span in document.spans or ())
    return dict(counts.most_common())


def _report(
    source: str, task: str, documents: Sequence[Document], faults: Sequence[Fault], notes: list[str]
) -> DataReport:
    lengths = sorted(len(document.text) for document in documents)
    labels = {} if task == PAIRS else _label_counts(documents)
    rare = [f"{name} ({count:,})" for name, count in labels.items() if count < RARE]
    if rare:
        more = f" and {len(rare) - MOST_NAMED:,} more" if len(rare) > MOST_NAMED else ""
        notes.append(f"labels with fewer than {RARE} examples: {', '.join(rare[:MOST_NAMED])}{more}")
    if labels and max(labels.values()) >= FAR_APART * min(labels.values()):
        most, least = (choose(labels, key=labels.__getitem__) for choose in (max, min))
        notes.append(f"{most} occurs {labels[most] // labels[least]:,} times as often as {least}")
    figures: dict[str, int] = {}
    if lengths:
        figures = {
            "shortest": lengths[0],
            "median": round(statistics.median(lengths)),
            "95 of 100": lengths[(len(lengths) * 95) // 100 if len(lengths) > 1 else 0],
            "longest": lengths[-1],
        }
    scripts = dict(list(profile(documents).scripts.items())[:MOST_NAMED]) if documents else {}
    ordered = sorted(faults, key=lambda fault: (fault.path or "", fault.line or 0))
    return DataReport(source, task, len(documents), sum(lengths), figures, labels, scripts, ordered, notes)
