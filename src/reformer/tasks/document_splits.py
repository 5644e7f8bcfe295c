"""The documents that a recipe names: to learn from, to choose the best weights with, to report on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reformer.data import Document, join_documents, load, load_source
from reformer.data.batching.hold_out import hold_out
from reformer.recipe import DataRecipe


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
        train, validation = hold_out(train, fraction=recipe.validation_fraction, seed=seed, place=recipe.train)
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
