"""`reformer predict`."""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from reformer.cli.errors import say_error, say_note
from reformer.cli.files import check_output_file
from reformer.cli.options import Beams, Columns, Dst, Encoding, Format, Header, RunFolder, TextColumn
from reformer.errors import ReformerError
from reformer.files import replaced
from reformer.interruption import Interruption, StoppedError

if TYPE_CHECKING:
    from rich.console import Console

    from reformer.data import DataError

Write = Callable[[dict[str, Any]], object]

COMPUTED = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Beginnings of cells that spreadsheets take for a formula."""


def predict(
    run: RunFolder,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files to predict for.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write here, as a table if the name ends with .csv, else as JSONL; without it, to standard output.",
        ),
    ] = None,
    format: Format = None,
    encoding: Encoding = None,
    header: Header = None,
    text_column: TextColumn = None,
    text: Annotated[bool | None, typer.Option(help="Repeat each document's text in the output.")] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="For a task whose answers can be drawn: draw them into this folder.")
    ] = None,
    columns: Columns = None,
    beams: Beams = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Leave out entities and labels of a lower probability; a class of a lower one is null.",
        ),
    ] = None,
    scores: Annotated[
        bool | None, typer.Option(help="For a class: give the probabilities of all classes, not only its own.")
    ] = None,
    dst: Dst = None,
    future_covariates: Annotated[
        Path | None,
        typer.Option(
            help="Of a series with covariates known ahead (data.known_columns): a table of dates and these columns, "
            "which tells their values at the steps to forecast; without it, the last rows of FILE tell them."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output file and the pictures.")] = False,
    spreadsheet: Annotated[
        bool,
        typer.Option(
            "--spreadsheet",
            help="In a table, put ' before text that a spreadsheet would compute: text that begins with =, +, -, @, a "
            "tab or a line break.",
        ),
    ] = False,
) -> None:
    """Predict for each record of the files: JSONL, one line a record, in the order of the input.

    Nothing is cut, and `text[start:end]` of every span is its entity. However many records there are, the memory
    stays the same. A record that cannot be read is reported and left out; the exit status is 1 then. The output file
    appears when it is whole; after an error, the answers up to there are in a file `NAME.partial` beside it.
    """
    from reformer.runs.loading import load_run
    from reformer.tasks.base import PredictingTask, PredictOptions

    check_output_file(output, [*files, future_covariates], run, overwrite=overwrite)
    loaded = load_run(run, PredictingTask)
    options = PredictOptions(
        format=format,
        encoding=encoding,
        header=header,
        text_column=text_column,
        text=text,
        pictures=pictures,
        overwrite=None if pictures is None else overwrite,
        columns=columns,
        beams=beams,
        min_confidence=min_confidence,
        scores=scores,
        dst=dst,
        future_covariates=future_covariates,
    )
    loaded.task.check_options(loaded.recipe.training.task, options)
    if "min_confidence" in loaded.task.predict_options and loaded.calibration.temperature is None:
        say_note(f"the scores are not calibrated: {loaded.calibration.reason}")
    skipped = 0

    def skip(error: "DataError") -> None:
        nonlocal skipped
        skipped += 1
        say_error(str(error))

    _write(loaded.task.predict(loaded, files, options, skip), output, overwrite=overwrite, spreadsheet=spreadsheet)
    if skipped:
        raise ReformerError(f"{skipped:,} left out, for the reasons above; all others were answered")


def _write(records: Iterable[dict[str, Any]], output: Path | None, *, overwrite: bool, spreadsheet: bool) -> None:
    """Write the records one by one, and stop between two of them where that is asked for."""
    from reformer.terminal import PlainConsole

    with (
        _destination(output, overwrite=overwrite) as stream,
        Interruption() if output is not None else nullcontext() as stopping,
        _progress(PlainConsole(stderr=True)) as count,
    ):
        is_table = output is not None and output.suffix.lower() == ".csv"
        write = _table(stream, spreadsheet=spreadsheet) if is_table else _lines(stream)
        for record in records:
            write(record)
            # A line that is written is not lost, whatever comes next.
            stream.flush()
            count()
            if stopping is not None and stopping.request is not None:
                raise StoppedError(f"{output}: stopped before the last answer", stopping.request)


def _lines(stream: TextIO) -> Write:
    from reformer.terminal import printable

    in_terminal = stream.isatty()

    def write(record: dict[str, Any]) -> None:
        line = json.dumps(record, ensure_ascii=False)
        stream.write((printable(line) if in_terminal else line) + "\n")

    return write


def _table(stream: TextIO, *, spreadsheet: bool) -> Write:
    """A row a record, the columns named first; a cell that is no text and no number is JSON."""

    def quoted(cell: Any) -> Any:
        computed = spreadsheet and isinstance(cell, str) and cell.startswith(COMPUTED)
        return f"'{cell}" if computed else cell

    rows, columns = csv.writer(stream, lineterminator="\n"), []

    def write(record: dict[str, Any]) -> None:
        if not columns:
            columns.extend(record)
            rows.writerow(map(quoted, columns))
        if list(record) != columns:
            raise ReformerError(
                f"an answer has the fields {', '.join(record)} and those before have {', '.join(columns)}, which no "
                "table can hold; give an --output that does not end with .csv"
            )
        plain = (str, int, float)
        known = ("" if cell is None else cell for cell in record.values())
        cells = (cell if isinstance(cell, plain) else json.dumps(cell, ensure_ascii=False) for cell in known)
        rows.writerow(map(quoted, cells))

    return write


@contextmanager
def _destination(output: Path | None, *, overwrite: bool) -> Iterator[TextIO]:
    if output is None:
        # JSON is UTF-8, whatever the locale.
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")
        yield sys.stdout
        return

    def say_partial(partial: Path) -> None:
        say_error(f"{output}: this is not written; the answers up to here are in {partial}")

    with replaced(output, overwrite=overwrite, on_partial=say_partial) as file:
        stream = TextIOWrapper(file, encoding="utf-8", newline="")
        try:
            yield stream
            stream.flush()
        finally:
            # `replaced` closes the file.
            with suppress(OSError, ValueError):
                stream.detach()


@contextmanager
def _progress(console: "Console") -> Iterator[Callable[[], None]]:
    """Counts the answers where there is a terminal to show them in."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("loading")
        answers = 0

        def count() -> None:
            nonlocal answers
            answers += 1
            bar.update(task, description=f"{answers:,} answers")

        yield count
