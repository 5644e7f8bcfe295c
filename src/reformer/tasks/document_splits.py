"""Training, validation and test documents that a recipe names."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from reformer.data import Document, join_documents, load, load_source
from reformer.data.batching.hold_out import hold_out
from reformer.recipe import AtLeastOne, DataRecipe


class TextDataRecipe(DataRecipe, frozen=True):
    """Data of a task that reads texts, of whose files this says how they are read."""

    format: str | None = Field(None, description="the files' format, if their names do not tell it")
    text_column: str | None = Field(
        None, description="the column of a table, or the field of JSONL, that has the text; none: text"
    )

    train_fraction: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="learn from the first training documents alone, those that together have this share of the "
        "characters, to see what more labels would bring; none: all",
    )

    @property
    def columns(self) -> tuple[str, str | None]:
        """The column that has the text, and the one that has the label; None where labels are not read."""
        return self.text_column or "text", None

    @property
    def label_split(self) -> str | None:
        """What stands between the labels of a text that may have several; None where it has one."""
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


def load_splits(recipe: TextDataRecipe, seed: int) -> Splits:
    """Read and join the documents; without documents for validation, hold out a part that the seed chooses."""
    if recipe.source is not None:
        documents = load(recipe.source.removeprefix("index:"))
        parts = {name: documents.get(name, []) for name in ("train", "validation", "test")}
    else:
        paths = {"train": recipe.train, "validation": recipe.validation, "test": recipe.test}
        parts = {name: read_source(path, recipe, format=recipe.format) if path else [] for name, path in paths.items()}
    if recipe.columns[1] is None:
        parts = {name: map(_without_labels, documents) for name, documents in parts.items()}
    learned: Iterable[Document] = parts["train"]
    if recipe.train_fraction is not None:
        learned = first_part(list(learned), recipe.train_fraction)
    each = (learned, parts["validation"], parts["test"])
    train, validation, test = (list(joined(documents, recipe)) for documents in each)
    if not validation:
        train, validation = hold_out(train, fraction=recipe.validation_fraction, seed=seed, place=recipe.train)
    return Splits(train, validation, test)


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
) -> Iterator[Document]:
    """The documents of a file or of a data set's split; columns are the recipe's unless others are given."""
    own_text, own_label = recipe.columns
    return load_source(
        source,
        split=split if source.startswith("index:") else None,
        format=format,
        text_column=text_column or own_text,
        label_column=label_column or own_label,
        label_separator=recipe.label_split,
    )


def joined(documents: Iterable[Document], recipe: TextDataRecipe) -> Iterable[Document]:
    """Neighbouring documents joined up to the recipe's length, if it has one."""
    if recipe.joined_length is None:
        return documents
    return join_documents(documents, recipe.joined_length, recipe.separator)


def _without_labels(document: Document) -> Document:
    return Document(document.text, document.id, source=document.source)
