"""`reformer show`."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from reformer.cli.options import Format, RunFolder, Split, TextColumn
from reformer.errors import ReformerError

if TYPE_CHECKING:
    from rich.console import Console

    from reformer.data import Document, Span
    from reformer.tasks.documents.task import DocumentAnswer

COLOURS = ("green", "magenta", "cyan", "yellow", "blue", "red")


def show(
    run: RunFolder,
    data: Annotated[str, typer.Argument(metavar="DATA", help="A file of documents, or a data set as index:NAME.")],
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="The number of the document, from 1.")] = 1,
    format: Format = None,
    text_column: TextColumn = None,
    split: Split = "test",
) -> None:
    """Show one document with the model's prediction: its entities in colours, or its class.

    Neighbouring texts are joined as they were for training. Below a labelled document, missed and wrong entities are
    listed.
    """
    from rich.console import Console

    from reformer.runs.loading import load_run
    from reformer.tasks.document_splits import joined, read_source
    from reformer.tasks.documents.task import DocumentTask, predict, spans_of_types

    loaded = load_run(run, DocumentTask)
    documents = read_source(data, loaded.recipe.data, split=split, format=format, text_column=text_column)
    chosen = list(islice(joined(documents, loaded.recipe.data), number - 1, number))
    if not chosen:
        raise ReformerError(f"{data}: there is no document number {number}; give a smaller --number")
    [(document, answer)] = predict(loaded, chosen)
    console = Console()
    console.print(f"{document.id}: {len(document.text):,} characters", style="bold", highlight=False)
    if answer.spans is not None:
        known = document.spans and spans_of_types(document.spans, loaded.task.entity_types(loaded.recipe))
        _show_entities(console, replace(document, spans=known), answer.spans)
    else:
        _show_class(console, document, answer)


def _show_entities(console: "Console", document: "Document", spans: "tuple[Span, ...]") -> None:
    from rich.text import Text

    types = sorted({span.label for span in (*spans, *(document.spans or ()))})
    styles = {name: f"bold {COLOURS[index % len(COLOURS)]}" for index, name in enumerate(types)}
    text = Text(document.text)
    for span in spans:
        text.stylize(f"{styles[span.label]} underline", span.start, span.end)
    console.print(text)
    console.print(
        *(Text(f"{name} {sum(span.label == name for span in spans)}", styles[name]) for name in types), sep="   "
    )
    if document.spans is None:
        return
    right = set(spans) & set(document.spans)
    console.print(f"{len(right)} of {len(document.spans)} entities found", highlight=False)
    _list(console, "missed", document, set(document.spans) - right)
    _list(console, "found wrongly", document, set(spans) - right)


def _list(console: "Console", title: str, document: "Document", spans: "Iterable[Span]") -> None:
    ordered = sorted(spans, key=lambda span: span.start)
    if ordered:
        named = ", ".join(f"{document.text[span.start : span.end]} ({span.label})" for span in ordered)
        console.print(f"{title}: {named}", highlight=False, markup=False, style="dim")


def _show_class(console: "Console", document: "Document", answer: "DocumentAnswer") -> None:
    console.print(document.text, highlight=False, markup=False)
    for label, score in sorted((answer.scores or {}).items(), key=lambda pair: -pair[1]):
        chosen = "bold green" if label == answer.label else "dim"
        console.print(f"{score:6.1%} {label}", style=chosen, highlight=False, markup=False)
    if document.label is not None:
        console.print(f"known to be {document.label}", highlight=False, markup=False)
