"""The documents that a recipe names: to learn from, to choose the best weights with, to report on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from reformer.data import DataError, Document, join_documents, load, load_source
from reformer.training.recipe import DataRecipe

Record = TypeVar("Record")


@dataclass(frozen=True)
class Splits:
    """Documents by what they are for; `test` is empty where the recipe names none."""

    train: list[Document]
    validation: list[Document]
    test: list[Document]


def load_splits(recipe: DataRecipe, seed: int, *, labelled: bool = True) -> Splits:
    """Read and join the documents; without documents for validation, hold out a part that the seed chooses.

    With `labelled=False` nothing but their texts is read.
    """
    if recipe.source is not None:
        found = load(recipe.source.removeprefix("index:"))
        parts = {name: found.get(name, []) for name in ("train", "validation", "test")}
    else:
        paths = {"train": recipe.train, "validation": recipe.validation, "test": recipe.test}
        parts = {
            name: read_source(path, recipe, format=recipe.format, labelled=labelled) if path else []
            for name, path in paths.items()
        }
    if not labelled:
        parts = {name: map(_without_labels, documents) for name, documents in parts.items()}
    train, validation, test = (list(joined(parts[name], recipe)) for name in ("train", "validation", "test"))
    if not validation:
        train, validation = hold_out(train, recipe, seed, "document")
    return Splits(train, validation, test)


def read_source(
    source: str,
    recipe: DataRecipe,
    *,
    split: str | None = None,
    format: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    labelled: bool = True,
) -> Iterator[Document]:
    """The documents of a file or of a data set's split; columns are the recipe's unless others are given."""
    return load_source(
        source,
        split=split if source.startswith("index:") else None,
        format=format,
        text_column=text_column or recipe.text_column or "text",
        label_column=label_column or recipe.label_column or "label" if labelled else None,
    )


def joined(documents: Iterable[Document], recipe: DataRecipe) -> Iterable[Document]:
    """Neighbouring documents joined up to the recipe's length, if it has one."""
    if recipe.max_length is None:
        return documents
    return join_documents(documents, recipe.max_length, recipe.separator)


def _without_labels(document: Document) -> Document:
    return Document(document.text, document.id, source=document.source)


def hold_out(records: list[Record], recipe: DataRecipe, seed: int, kind: str) -> tuple[list[Record], list[Record]]:
    """What to learn from and, chosen by the seed, the recipe's part for validation; both in their order.

    Raises:
        DataError: there are too few; `kind` says of what.
    """
    if len(records) < 2:
        raise DataError(
            recipe.train,
            None,
            f"there is {len(records)} training {kind}, too few to hold one out for validation",
            f"give more {kind}s, a validation file, or a smaller data.max_length",
        )
    count = max(1, round(len(records) * recipe.validation_fraction))
    chosen = set(np.random.default_rng(seed).permutation(len(records))[:count].tolist())
    train = [record for index, record in enumerate(records) if index not in chosen]
    return train, [records[index] for index in sorted(chosen)]
