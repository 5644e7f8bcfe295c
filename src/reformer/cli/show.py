"""`reformer show`."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reformer.cli.errors import say_note
from reformer.cli.files import check_output_file
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
    from reformer.metrics.marked import MarkedDocument
    from reformer.tasks.documents.answer import DocumentAnswer

MOST_DOCUMENTS = 1000
"""Documents of a page, at most."""
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
        int | None,
        typer.Option("--number", "-n", min=1, max=MAX_COUNT, help="The number of the document, from 1; without it, 1."),
    ] = None,
    format: Format = None,
    text_column: TextColumn = None,
    split: Split = "test",
    columns: Columns = None,
    repair: Repair = False,
    joined: Joined = False,
    on_overlap: Overlap = None,
    aggregation_strategy: Aggregation = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Write all documents, or that of --number, into this page instead; it needs no other file."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the page.")] = False,
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

    check_output_file(html, data, run, overwrite=overwrite)
    if overwrite and html is None:
        raise ReformerError("--overwrite is for the page of --html; leave it out")
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
    asked, types = loaded.task.as_asked(loaded, options), loaded.task.entity_types(loaded.recipe)
    first = 1 if number is None else number
    chosen = islice(found, first - 1, None if html is not None and number is None else first)
    begin = next(chosen, None)
    if begin is None:
        raise ReformerError(f"{', '.join(data)}: there is no document number {first}; give a smaller --number")
    answered = predict(asked, chain([begin], chosen))
    if html is not None:
        from reformer.files import replaced
        from reformer.report.page import marked_page

        documents = [_marked(*each, types) for each in islice(answered, MOST_DOCUMENTS)]
        with replaced(html, overwrite=overwrite) as file:
            file.write(marked_page(f"{run} on {', '.join(data)}", documents))
        if len(documents) == MOST_DOCUMENTS:
            say_note(f"the page has the first {MOST_DOCUMENTS:,} documents")
        return
    [(document, answer)] = answered
    console = PlainConsole()
    console.print(f"{printable(document.id, keep='')}: {counted(len(document.text), 'character')}", style="bold")
    if answer.spans is not None:
        known = document.spans and spans_of_types(document.spans, types)
        _show_entities(console, replace(document, spans=known), answer.spans)
    else:
        _show_class(console, document, answer)


def _marked(document: "Document", answer: "DocumentAnswer", types: "Sequence[str] | None") -> "MarkedDocument":
    """The document as a page shows it."""
    from reformer.metrics.marked import MarkedDocument
    from reformer.tasks.documents.answer import spans_of_types
    from reformer.tasks.documents.review import marked_spans

    if answer.spans is not None:
        known = document.spans and spans_of_types(document.spans, types)
        return MarkedDocument(document.id, document.text, marked_spans(answer.spans, known))
    ordered = sorted((answer.scores or {}).items(), key=lambda pair: -pair[1])
    chosen = answer.labels or (answer.label,)
    return MarkedDocument(document.id, document.text, (), [(name, score, name in chosen) for name, score in ordered])


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
