"""`reformer show`."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reformer.cli.lean_start import start_lean
from reformer.cli.options import (
    MAX_COUNT,
    Aggregation,
    Columns,
    Format,
    Joined,
    Overlap,
    Repair,
    RunFolder,
    Split,
    TextColumn,
)
from reformer.errors import ReformerError
from reformer.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

    from reformer.data import Document, Span
    from reformer.tasks.documents.answer import DocumentAnswer

COLOURS = ("green", "magenta", "cyan", "yellow", "blue", "red")


def show(
    run: RunFolder,
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...",
            help="Files of documents, folders, patterns, or - for standard input, or one data set as index:NAME.",
        ),
    ],
    number: Annotated[
        int, typer.Option("--number", "-n", min=1, max=MAX_COUNT, help="The number of the document, from 1.")
    ] = 1,
    format: Format = None,
    text_column: TextColumn = None,
    split: Split = "test",
    columns: Columns = None,
    repair: Repair = False,
    joined: Joined = False,
    on_overlap: Overlap = None,
    aggregation_strategy: Aggregation = None,
) -> None:
    """Show one document with the model's prediction: its entities in colours, or its class.

    The prediction is that of `predict`. Below a labelled document, missed and wrong entities are
    listed.
    """
    start_lean()
    from reformer.runs.loading import load_run
    from reformer.tasks.document_splits import check_joined, read_source, span_reading
    from reformer.tasks.document_splits import joined as join
    from reformer.tasks.documents.answer import spans_of_types
    from reformer.tasks.documents.prediction import predict
    from reformer.tasks.documents.task import DocumentTask
    from reformer.tasks.predict_options import PredictOptions
    from reformer.terminal import PlainConsole, printable

    loaded = load_run(run, DocumentTask)
    recipe = loaded.recipe.data
    options = PredictOptions(
        columns=columns,
        repair=repair or None,
        joined=joined or None,
        on_overlap=on_overlap,
        aggregation_strategy=aggregation_strategy,
    )
    loaded.task.check_options(loaded.recipe.training.task, options)
    check_joined(recipe, options)
    spans = recipe.spans and span_reading(recipe.spans, options)
    how: dict[str, Any] = {"split": split, "format": format, "text_column": text_column, "spans": spans}
    found = (
        document
        for source in loaded.task.find_inputs(data, format)
        for document in (
            join(read_source(source, recipe, **how), recipe) if joined else read_source(source, recipe, **how)
        )
    )
    chosen = list(islice(found, number - 1, number))
    if not chosen:
        raise ReformerError(f"{', '.join(data)}: there is no document number {number}; give a smaller --number")
    [(document, answer)] = predict(loaded.task.as_asked(loaded, options), chosen)
    console = PlainConsole()
    console.print(f"{printable(document.id, keep='')}: {counted(len(document.text), 'character')}", style="bold")
    if answer.spans is not None:
        known = document.spans and spans_of_types(document.spans, loaded.task.entity_types(loaded.recipe))
        _show_entities(console, replace(document, spans=known), answer.spans)
    else:
        _show_class(console, document, answer)


def _show_entities(console: "Console", document: "Document", spans: "tuple[Span, ...]") -> None:
    from rich.text import Text

    from reformer.terminal import printable

    types = sorted({span.label for span in (*spans, *(document.spans or ()))})
    styles = {name: f"bold {COLOURS[index % len(COLOURS)]}" for index, name in enumerate(types)}
    # An escape is longer than its character, so spans move.
    shown, places, before = "", {}, 0
    for place in sorted({0, len(document.text), *(place for span in spans for place in (span.start, span.end))}):
        shown += printable(document.text[before:place])
        places[place], before = len(shown), place
    text = Text(shown)
    # What lies within an entity is shown over it.
    for span in sorted(spans, key=lambda each: each.start - each.end):
        text.stylize(f"{styles[span.label]} underline", places[span.start], places[span.end])
    console.print(text)
    console.print(
        *(
            Text(f"{printable(name, keep='')} {sum(span.label == name for span in spans)}", styles[name])
            for name in types
        ),
        sep="   ",
    )
    if document.spans is None:
        return
    right = set(spans) & set(document.spans)
    console.print(f"{len(right)} of {counted(len(document.spans), 'entity')} found")
    _list(console, "missed", document, set(document.spans) - right)
    _list(console, "found wrongly", document, set(spans) - right)


def _list(console: "Console", title: str, document: "Document", spans: "Iterable[Span]") -> None:
    from reformer.terminal import printable

    ordered = sorted(spans, key=lambda span: span.start)
    if ordered:
        named = ", ".join(
            f"{printable(document.text[span.start : span.end])} ({printable(span.label, keep='')})" for span in ordered
        )
        console.print(f"{title}: {named}", style="dim")


def _show_class(console: "Console", document: "Document", answer: "DocumentAnswer") -> None:
    from reformer.terminal import printable

    console.print(document.text)
    for label, score in sorted((answer.scores or {}).items(), key=lambda pair: -pair[1]):
        chosen = "bold green" if label == answer.label or label in (answer.labels or ()) else "dim"
        console.print(f"{score:6.1%} {printable(label, keep='')}", style=chosen)
    known = document.label if document.labels is None else ", ".join(document.labels) or "none"
    if known is not None:
        console.print(f"known to be {printable(known, keep='')}")
