"""Writing of answers: as JSONL or as a table, to standard output or into a file that can be gone on with."""

import csv
import io
import json
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from reformer.cli.errors import say_error
from reformer.errors import ReformerError
from reformer.files import replaced
from reformer.interruption import Interruption, StoppedError

if TYPE_CHECKING:
    from rich.console import Console

    from reformer.data.origin import Key
    from reformer.tasks.predictions import Prediction

COMPUTED = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Beginnings of cells that spreadsheets take for a formula."""

Form = Callable[[dict[str, Any]], str]
"""An answer as it is written."""


def is_table(output: Path | None) -> bool:
    """Whether answers are written as a table."""
    return output is not None and output.suffix.lower() == ".csv"


def json_line(fields: dict[str, Any]) -> str:
    """An answer as a line of JSONL."""
    return json.dumps(fields, ensure_ascii=False) + "\n"


class TableForm:
    """Rows of a table, behind the names of its columns; a cell that is no text and no number is JSON.

    Args:
        excel: begin with a byte order mark, and put `'` before a cell that a spreadsheet would compute.
        is_begun: whether the columns are named already.
    """

    def __init__(self, *, excel: bool, is_begun: bool) -> None:
        self._excel, self._is_begun = excel, is_begun
        self._columns: list[str] = []

    def __call__(self, fields: dict[str, Any]) -> str:
        rows = io.StringIO()
        writer = csv.writer(rows, lineterminator="\n")
        if not self._columns:
            self._columns = list(fields)
            if not self._is_begun:
                rows.write("\ufeff" if self._excel else "")
                writer.writerow(map(self._cell, self._columns))
        if list(fields) != self._columns:
            raise ReformerError(
                f"an answer has the fields {', '.join(fields)} and those before have {', '.join(self._columns)}, which "
                "no table can hold; give an --output that does not end with .csv"
            )
        writer.writerow(map(self._cell, fields.values()))
        return rows.getvalue()

    def _cell(self, value: Any) -> Any:
        if value is None:
            return ""
        cell = value if isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)
        return f"'{cell}" if self._excel and isinstance(cell, str) and cell.startswith(COMPUTED) else cell


def print_answers(predictions: "Iterable[Prediction]") -> None:
    """Write the answers to standard output, a line each; in a terminal, their control characters as escapes."""
    from reformer.terminal import PlainConsole, printable

    # JSON is UTF-8, whatever the locale.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    in_terminal = sys.stdout.isatty()
    with _progress(PlainConsole(stderr=True)) as count:
        for prediction in predictions:
            line = json_line(prediction.fields)
            sys.stdout.write(printable(line) if in_terminal else line)
            sys.stdout.flush()
            count()


def write_answers(
    predict: "Callable[[Key | None], Iterable[Prediction]]",
    output: Path,
    request: Mapping[str, Any],
    *,
    excel: bool,
    overwrite: bool,
    resume: bool,
) -> None:
    """Write the answers into a file one by one, and stop between two of them where that is asked for.

    Args:
        predict: makes the predictions that come after one with a key; None: all.
        request: what the answers depend on, see `begun_answers`.
    """
    from reformer.inference.begun_answers import PARTIAL, Answers, begun_answers
    from reformer.terminal import PlainConsole

    if output.exists() and not stat.S_ISREG(output.stat().st_mode):
        with replaced(output) as file:
            _write_each(predict(None), _Stream(file), output, _form(output, excel, begun=False))
        return
    answers: Answers | None = None
    try:
        with begun_answers(output, request, overwrite=overwrite, resume=resume) as answers:
            if answers.count:
                PlainConsole(stderr=True).print(f"{answers.count:,} answers are here already", soft_wrap=True)
            _write_each(predict(answers.after), answers, output, _form(output, excel, begun=answers.count > 0))
    except BaseException:
        if answers is not None and answers.count:
            partial = output.resolve().with_name(f"{output.resolve().name}{PARTIAL}")
            say_error(
                f"{output}: this is not written; the answers up to here are in {partial}, and --resume goes on from "
                "there"
            )
        raise


class _Stream:
    """Answers that go into a device or a pipe."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, key: "Key", data: bytes) -> None:
        self._file.write(data)
        self._file.flush()


def _form(output: Path, excel: bool, *, begun: bool) -> Form:
    return TableForm(excel=excel, is_begun=begun) if is_table(output) else json_line


def _write_each(predictions: "Iterable[Prediction]", answers: Any, output: Path, form: Form) -> None:
    from reformer.terminal import PlainConsole

    with Interruption() as stopping, _progress(PlainConsole(stderr=True)) as count:
        for prediction in predictions:
            answers.write(prediction.key, form(prediction.fields).encode("utf-8"))
            count()
            if stopping.request is not None:
                raise StoppedError(f"{output}: stopped before the last answer", stopping.request)


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
