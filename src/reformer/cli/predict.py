"""`reformer predict`."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from reformer.cli.errors import say_error
from reformer.cli.options import Format, RunFolder, TextColumn
from reformer.errors import ReformerError

if TYPE_CHECKING:
    from rich.console import Console

    from reformer.data import DataError, Document


def predict(
    run: RunFolder,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files of documents.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write here; without it, to standard output.")
    ] = None,
    format: Format = None,
    text_column: TextColumn = None,
    text: Annotated[bool, typer.Option(help="Repeat each document's text in the output.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output file.")] = False,
) -> None:
    """Label or classify documents: JSONL, one line a document, in the order of the input.

    Nothing is cut, and `text[start:end]` of every span is its entity. However many documents there are, the memory
    stays the same. A document that cannot be read is reported and left out; the exit status is 1 then.
    """
    from rich.console import Console

    from reformer.training.document_tasks import DocumentTask
    from reformer.training.predict import as_json
    from reformer.training.predict import predict as answers
    from reformer.training.run import load_run

    loaded = load_run(run, DocumentTask)
    skipped = 0

    def skip(error: "DataError") -> None:
        nonlocal skipped
        skipped += 1
        say_error(str(error))

    documents = _read(files, format, text_column or loaded.recipe.data.text_column or "text", skip)
    with _destination(output, overwrite=overwrite) as stream, _progress(Console(stderr=True)) as count:
        for document, answer in answers(loaded, documents, skip):
            stream.write(json.dumps(as_json(document, answer, with_text=text), ensure_ascii=False) + "\n")
            # A line that is written is not lost, whatever comes next.
            stream.flush()
            count(len(document.text))
    if skipped:
        raise ReformerError(f"{skipped:,} left out, for the reasons above; all other documents were answered")


def _read(
    files: list[str], format: str | None, text_column: str, skip: "Callable[[DataError], object]"
) -> "Iterator[Document]":
    """The documents of all files; a file that cannot be read is reported like a document."""
    from reformer.data import DataError, read_documents

    for file in files:
        try:
            yield from read_documents(file, format=format, text_column=text_column, label_column=None, on_error=skip)
        except DataError as error:
            skip(error)


@contextmanager
def _destination(output: Path | None, *, overwrite: bool) -> Iterator[TextIO]:
    if output is None:
        # JSON is UTF-8, whatever the locale.
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")
        yield sys.stdout
        return
    try:
        stream = output.open("w" if overwrite else "x", encoding="utf-8")
    except FileExistsError:
        raise ReformerError(f"{output}: this exists already; take another --output, or --overwrite") from None
    with stream:
        yield stream


@contextmanager
def _progress(console: "Console") -> Iterator[Callable[[int], None]]:
    """Counts documents and characters where there is a terminal to show them in."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("loading")
        documents = characters = 0

        def count(length: int) -> None:
            nonlocal documents, characters
            documents, characters = documents + 1, characters + length
            bar.update(task, description=f"{documents:,} documents, {characters:,} characters")

        yield count
