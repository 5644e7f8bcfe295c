"""Training, validation and test documents that a recipe names."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from reformer.data import Document, column_values, join_documents, load, load_source, read_documents
from reformer.data.batching.hold_out import fold, hold_out
from reformer.data.errors import OnError, raise_error
from reformer.data.spans import SpanReading, column_names
from reformer.errors import ReformerError
from reformer.recipe import BY_CHANCE, AtLeastOne, HeldOutDataRecipe
from reformer.tasks.bad_records import BadRecords
from reformer.tasks.predict_options import PredictOptions
from reformer.wording import counted

MOST_NAMED = 10
"""Labels that a line for the console names, at most."""


class TextDataRecipe(HeldOutDataRecipe, frozen=True):
    """Data of a task that reads texts, of whose files this says how they are read."""

    format: str | None = Field(None, description="the files' format, if their names do not tell it")
    text_column: str | None = Field(
        None, description="the column of a table, or the field of JSONL, that has the text; none: text"
    )

    encoding: str | None = Field(None, description="the files' encoding, such as gb18030 or utf-16; none: utf-8")
    header: bool = Field(
        True, description="false: the first line of a table names no columns, which are then called 1, 2, ..."
    )
    skip_bad: bool = Field(
        False, description="true: leave out records that cannot be learned from; otherwise all of them are listed"
    )
    group_column: str | None = Field(
        None,
        description="the column whose value says which records belong together, such as a document or an author: "
        "those of one value are all trained on or all held out; none: those of one text are",
    )
    folds: Annotated[int, Field(ge=2)] | None = Field(
        None, description="divide the training documents into so many parts, of which one is held out; none: do not"
    )
    fold: AtLeastOne | None = Field(None, description="which of these parts is held out, from 1; none: the first")

    train_fraction: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="learn from the first training documents alone, those that together have this share of the "
        "characters, to see what more labels would bring; none: all",
    )

    @model_validator(mode="after")
    def _held_out_part(self) -> "TextDataRecipe":
        given = [name for name in ("group_column", "folds") if getattr(self, name) is not None]
        if self.validation is not None and given:
            raise ValueError(f"{', '.join(given)}: with a validation file nothing is held out; leave out one of them")
        if self.hold_out == BY_CHANCE and given:
            raise ValueError(f'hold_out = "{BY_CHANCE}" knows no {", ".join(given)}; leave out one of them')
        if self.fold is not None and not 1 <= self.fold <= (self.folds or 0):
            raise ValueError(f"fold = {self.fold}: expected one of the parts that folds = N makes, from 1 to N")
        return self

    @property
    def columns(self) -> tuple[str, str | None]:
        """The column that has the text, and the one that has the label; None where labels are not read."""
        return self.text_column or "text", None

    @property
    def label_split(self) -> str | None:
        """What stands between the labels of a text that may have several; None where it has one."""
        return None

    @property
    def spans(self) -> SpanReading | None:
        """How entities are read; None where they are not looked at."""
        return None

    @property
    def joined_length(self) -> int | None:
        """The number of characters up to which neighbouring texts are joined; None: they are not."""
        return None


class JoinedTextDataRecipe(TextDataRecipe, frozen=True):
    """Texts that may be joined to longer documents."""

    max_length: AtLeastOne | None = Field(
        None, description="join neighbouring texts to documents of at most so many characters; none: do not join"
    )

    @property
    def joined_length(self) -> int | None:
        return self.max_length


@dataclass(frozen=True)
class Splits:
    """Documents of each split; `test` is empty where the recipe names none."""

    train: list[Document]
    validation: list[Document]
    test: list[Document]
    cautions: tuple[str, ...] = ()
    """What should be known of the split before anything is learned from it, for the console."""


def load_splits(
    recipe: TextDataRecipe,
    seed: int,
    check: Callable[[Document], object] = lambda document: None,
    bad: BadRecords | None = None,
    *,
    join_test: bool = True,
) -> Splits:
    """Read and join the documents; without documents for validation, hold out a part that the seed chooses.

    What is held out are texts before they are joined, those of one text or group on one side, each class and type of
    entities by its share and always left in training; or with `hold_out = "random"` any joined documents.

    Args:
        check: raises a `DataError` for a document that cannot be learned from.
        bad: gathers these errors and those of reading; None raises them when all is read.
        join_test: whether test documents are joined, too; predictions are made for each as it stands in its file.
    """
    bad = BadRecords(skip=recipe.skip_bad) if bad is None else bad
    if recipe.source is not None:
        documents = load(recipe.source.removeprefix("index:"))
        parts: dict[str, Iterable[Document]] = {name: documents.get(name, []) for name in _PARTS}
    else:
        paths = {name: getattr(recipe, name) for name in _PARTS}
        parts = {
            name: read_source(path, recipe, format=recipe.format, encoding=recipe.encoding, on_error=bad)
            if path
            else []
            for name, path in paths.items()
        }
    parts = {name: map(partial(_as_read, recipe), documents) for name, documents in parts.items()}
    train, validation, test = (list(bad.usable(parts[name], check)) for name in _PARTS)
    bad.raise_all()
    if recipe.train_fraction is not None:
        train = list(first_part(train, recipe.train_fraction))
    cautions = [*_leaks(train, validation, "validation"), *_leaks(train, test, "test")]
    if not validation and recipe.hold_out != BY_CHANCE:
        train, validation = _held_out(train, recipe, seed)
    texts = len(train)
    train, validation = (list(joined(documents, recipe)) for documents in (train, validation))
    if not validation:
        train, validation = hold_out(train, fraction=recipe.validation_fraction, seed=seed, place=recipe.train)
        # Chance knows nothing of texts that are the same.
        cautions += _leaks(train, validation, "validation")
    # Targets of pairs are no classes.
    if recipe.columns[1] != "target":
        cautions += _unmeasured(train, validation)
    test = list(joined(test, recipe)) if join_test else test
    if len(train) < min(texts, MIN_JOINED):
        cautions.append(
            f"{texts:,} training texts were joined to {counted(len(train), 'document')} of at most "
            f"{recipe.joined_length:,} "
            "characters; a smaller data.max_length makes more of them"
        )
    return Splits(train, validation, test, tuple(cautions))


_PARTS = ("train", "validation", "test")
MIN_JOINED = 20
"""Joined documents of which a step sees but a few: with fewer, this is told."""


def _held_out(documents: list[Document], recipe: TextDataRecipe, seed: int) -> tuple[list[Document], list[Document]]:
    groups: list[list[tuple[str, object]]] = [[("text", _digest(document))] for document in documents]
    if recipe.group_column is not None and recipe.train is not None:
        values = column_values(
            recipe.train, recipe.group_column, format=recipe.format, encoding=recipe.encoding, header=recipe.header
        )
        for document, own in zip(documents, groups, strict=True):
            own.append(("group", values[int(document.source.rpartition(":")[2])]))
    labels = None if recipe.columns[1] == "target" else list(map(label_names, documents))
    shown = {"seed": seed, "place": recipe.train, "labels": labels, "groups": groups}
    if recipe.folds is not None:
        return fold(documents, recipe.fold or 1, recipe.folds, **shown)
    return hold_out(documents, fraction=recipe.validation_fraction, **shown)


def label_names(document: Document) -> set[str]:
    """The class of a document and the types of its entities."""
    names = {span.label for span in document.spans or ()} | set(document.labels or ())
    return names if document.label is None else names | {document.label}


def _digest(document: Document) -> bytes:
    return blake2b(document.text.strip().encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _leaks(train: list[Document], held_out: list[Document], part: str) -> Iterator[str]:
    """A line if texts that are to measure what was learned stand in what is learned from."""
    known = set(map(_digest, train)) if held_out else set()
    count = sum(_digest(document) in known for document in held_out)
    if count:
        yield (
            f"{count:,} of {len(held_out):,} {part} texts are in the training part, too: its scores will be too good; "
            "take them out of one of the two"
        )


def _unmeasured(train: list[Document], validation: list[Document]) -> Iterator[str]:
    """A line if labels are learned that no validation text has."""
    measured = {name for document in validation for name in label_names(document)}
    counts = Counter(name for document in train for name in label_names(document))
    missing = [(name, count) for name, count in counts.items() if name not in measured]
    if missing and measured:
        shown = ", ".join(f"{name} ({count:,} in training)" for name, count in missing[:MOST_NAMED])
        more = f" and {len(missing) - MOST_NAMED:,} more" if len(missing) > MOST_NAMED else ""
        yield f"no validation text has {shown}{more}: nothing measures what is learned of it; give more texts with it"


def span_reading(usual: SpanReading, options: PredictOptions) -> SpanReading:
    """How entities are read: as usual, but for what the options say."""
    return SpanReading(
        usual.repair or bool(options.repair),
        options.on_overlap or usual.on_overlap,
        column_names(options.columns) or usual.columns,
    )


def first_part(documents: Sequence[Document], fraction: float) -> Sequence[Document]:
    """The fewest first documents that have at least this share of the characters of all."""
    ends = np.cumsum([len(document.text) for document in documents])
    return documents[: int(np.searchsorted(ends, fraction * ends[-1])) + 1] if len(documents) else documents


def read_source(
    source: str,
    recipe: TextDataRecipe,
    *,
    split: str | None = None,
    format: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    spans: SpanReading | None = None,
    encoding: str | None = None,
    header: bool | None = None,
    on_error: OnError = raise_error,
) -> Iterator[Document]:
    """The documents of a file or of a data set's split; columns, header and how entities are read are the recipe's
    unless others are given."""
    own_text, own_label = recipe.columns
    return load_source(
        source,
        split=split if source.startswith("index:") else None,
        format=format,
        text_column=text_column or own_text,
        label_column=label_column or own_label,
        label_separator=recipe.label_split,
        spans=spans or recipe.spans or SpanReading(wanted=False),
        encoding=encoding,
        header=recipe.header if header is None else header,
        on_error=on_error,
    )


def read_unlabelled(
    file: str, recipe: TextDataRecipe, options: PredictOptions, on_error: OnError
) -> Iterator[Document]:
    """The documents of a file to predict for; columns and header are the recipe's unless the options have others."""
    columns = None if recipe.spans is None else recipe.spans.columns
    return read_documents(
        file,
        format=options.format,
        text_column=options.text_column or recipe.columns[0],
        label_column=None,
        spans=SpanReading(wanted=False, columns=column_names(options.columns) or columns),
        encoding=options.encoding,
        header=recipe.header if options.header is None else options.header,
        keeps_others=bool(options.keep_columns),
        on_error=on_error,
    )


def read_labelled(source: str, recipe: TextDataRecipe, options: PredictOptions) -> Iterator[Document]:
    """The documents to evaluate on."""
    return read_source(
        source,
        recipe,
        split=options.split,
        format=options.format,
        text_column=options.text_column,
        label_column=options.label_column,
        spans=recipe.spans and span_reading(recipe.spans, options),
        encoding=options.encoding,
        header=options.header,
    )


def check_joined(recipe: TextDataRecipe, options: PredictOptions) -> None:
    """Raise `ReformerError` where texts are to be joined as for training, and none were joined there."""
    if options.joined and recipe.joined_length is None:
        raise ReformerError("--joined: this run has joined no texts (data.max_length); leave it out")


def joined(documents: Iterable[Document], recipe: TextDataRecipe) -> Iterable[Document]:
    """Neighbouring documents joined up to the recipe's length, if it has one."""
    if recipe.joined_length is None:
        return documents
    return join_documents(documents, recipe.joined_length, recipe.separator)


def _as_read(recipe: TextDataRecipe, document: Document) -> Document:
    """The document of a data set without what the recipe's task does not look at."""
    label = None if recipe.columns[1] is None else document.label
    labels = None if recipe.columns[1] is None else document.labels
    return replace(document, label=label, labels=labels, spans=None if recipe.spans is None else document.spans)
