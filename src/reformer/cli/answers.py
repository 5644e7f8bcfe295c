"""Writing of answers: to standard output, or into a file that can be gone on with."""

import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from reformer.cli.errors import say_error
from reformer.cli.progress import progress
from reformer.files import replaced
from reformer.inference.answer_forms import Form
from reformer.interruption import Interruption, StoppedError
from reformer.wording import counted

if TYPE_CHECKING:
    from reformer.data.origin import Key
    from reformer.tasks.predictions import Prediction

    Size = Callable[[Key | None], int | None]

Skip = Callable[[Any], None]
"""Who is told of an answer that the form cannot hold."""


def print_answers(predictions: "Iterable[Prediction]", form: Form, skip: Skip, size: "Size") -> None:
    """Write the answers to standard output, a line each; in a terminal, their control characters as escapes."""
    from reformer.terminal import PlainConsole, printable

    # JSON is UTF-8, whatever the locale.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    in_terminal = sys.stdout.isatty()

    def write(text: str) -> None:
        sys.stdout.write(printable(text) if in_terminal else text)
        sys.stdout.flush()

    with progress(PlainConsole(stderr=True), lambda: size(None)) as count:
        for prediction, written in _written(predictions, form, skip):
            write(written)
            count(prediction.size)
    write(form.end())


def _written(predictions: "Iterable[Prediction]", form: Form, skip: Skip) -> "Iterator[tuple[Prediction, str]]":
    """Each answer and what is written of it; those that the form cannot hold are told of."""
    from reformer.data import DataError

    for prediction in predictions:
        try:
            written = form(prediction.fields)
        except DataError as error:
            skip(error)
        else:
            yield prediction, written


def write_answers(
    predict: "Callable[[Key | None], Iterable[Prediction]]",
    output: Path,
    request: Mapping[str, Any],
    form: Callable[[bool], Form],
    skip: Skip,
    size: "Size",
    *,
    overwrite: bool,
    resume: bool,
) -> None:
    """Write the answers into a file one by one, and stop between two of them where that is asked for.

    Args:
        predict: makes the predictions that come after one with a key; None: all.
        request: what the answers depend on, see `begun_answers`.
        form: makes the form in which they are written, of whether there are answers already.
        skip: is told of answers that it cannot hold.
        size: tells the size of all records that come after one with a key; None where nothing tells it.
    """
    from reformer.inference.begun_answers import PARTIAL, Answers, begun_answers
    from reformer.terminal import PlainConsole

    if output.exists() and not stat.S_ISREG(output.stat().st_mode):
        with replaced(output) as file:
            _write_each(predict(None), _Stream(file), output, form(False), skip, lambda: size(None))
        return
    answers: Answers | None = None
    try:
        with begun_answers(output, request, overwrite=overwrite, resume=resume) as answers:
            if answers.count:
                here = counted(answers.count, "answer", "are")
                PlainConsole(stderr=True).print(f"{here} here already", soft_wrap=True)
            after = answers.after
            _write_each(predict(after), answers, output, form(answers.count > 0), skip, lambda: size(after))
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

    def end(self, data: bytes) -> None:
        self._file.write(data)


def _write_each(
    predictions: "Iterable[Prediction]",
    answers: Any,
    output: Path,
    form: Form,
    skip: Skip,
    total: Callable[[], int | None],
) -> None:
    from reformer.terminal import PlainConsole

    with Interruption() as stopping, progress(PlainConsole(stderr=True), total) as count:
        for prediction, written in _written(predictions, form, skip):
            answers.write(prediction.key, written.encode("utf-8"))
            count(prediction.size)
            if stopping.request is not None:
                raise StoppedError(f"{output}: stopped before the last answer", stopping.request)
    answers.end(form.end().encode("utf-8"))
