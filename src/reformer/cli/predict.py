"""`reformer predict`."""

import stat
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reformer.cli.answers import print_answers, write_answers
from reformer.cli.errors import say_error, say_note
from reformer.cli.files import check_output_file
from reformer.cli.lean_start import start_lean
from reformer.cli.options import (
    Aggregation,
    Beams,
    Columns,
    Dst,
    Encoding,
    Format,
    Header,
    Inputs,
    RunFolder,
    TextColumn,
)
from reformer.cli.request import request_of
from reformer.errors import ReformerError
from reformer.inference.answer_forms import answer_form, check_form, is_table

if TYPE_CHECKING:
    from reformer.data import DataError
    from reformer.inference.answer_forms import Form


def predict(
    run: RunFolder,
    files: Inputs,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write here, as a table if the name ends with .csv, else as JSONL; without it, to standard output.",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            help="Write for an annotation tool: entities as label-studio (as predictions, with scores), doccano, "
            "prodigy, spacy, tokens, cluener, cmeee, conll, bioes, bmes, biluo, io or conllu; classes as the first 3."
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
    aggregation_strategy: Aggregation = None,
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
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with a prediction that was interrupted, from the answers in NAME.partial; begin where there "
            "are none.",
        ),
    ] = False,
    excel: Annotated[
        bool,
        typer.Option(
            "--excel",
            help="Make the table one for spreadsheets: UTF-8 with the mark by which Excel knows it, and ' before text "
            "that would be computed, which begins with =, +, -, @, a tab or a line break.",
        ),
    ] = False,
    keep_columns: Annotated[
        bool,
        typer.Option(
            "--keep-columns",
            help="Give the other columns of a table, or fields of JSON, in the answers, too; one with the name of a "
            "field of the answer as input_NAME.",
        ),
    ] = False,
) -> None:
    """Predict for each record of the files: JSONL, one line a record, in the order of the input, or as --to says.

    Nothing is cut, and `text[start:end]` of every span is its entity. However many records there are, the memory
    stays the same. A record that cannot be read is reported and left out; the exit status is 1 then. The output file
    appears when it is whole; until then its answers are in `NAME.partial` beside it, and after an interruption of any
    kind `--resume` goes on with them, if model, files and options are the same.
    """
    start_lean()
    from reformer.runs.loading import load_run
    from reformer.tasks.predict_options import PredictOptions
    from reformer.tasks.predicting import PredictingTask

    check_output_file(output, [*files, future_covariates], run, overwrite=overwrite or resume)
    if excel and not is_table(output):
        raise ReformerError("--excel is for tables; give an --output that ends with .csv")
    if resume:
        _check_resumable(output, pictures)
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
        keep_columns=keep_columns or None,
        dst=dst,
        future_covariates=future_covariates,
        aggregation_strategy=aggregation_strategy,
    )
    loaded.task.check_options(loaded.recipe.training.task, options)
    check_form(loaded.task, output, to, text=text, scores=scores, keep_columns=keep_columns)
    files = loaded.task.find_inputs(files, format)
    check_output_file(output, [*files, future_covariates], run, overwrite=True)
    note = loaded.task.calibration_note(loaded)
    if note is not None:
        say_note(note)
    skipped = 0

    def skip(error: "DataError") -> None:
        nonlocal skipped
        skipped += 1
        say_error(str(error))

    predictions = partial(loaded.task.predict, loaded, files, options, skip)
    size = partial(loaded.task.size, loaded, files, options)

    def form(is_begun: bool) -> "Form":
        return answer_form(output, to, excel=excel, is_begun=is_begun)

    if output is None:
        print_answers(predictions(None), form(False), skip, size)
    else:
        inputs = files if future_covariates is None else [*files, str(future_covariates)]
        request = request_of(run, inputs, options, {"--excel": excel, "--to": to}, resume=resume)
        write_answers(predictions, output, request, form, skip, size, overwrite=overwrite, resume=resume)
    if skipped:
        raise ReformerError(f"{skipped:,} left out, for the reasons above; all others were answered")


def _check_resumable(output: Path | None, pictures: Path | None) -> None:
    """Raise `ReformerError` where nothing is written that could be gone on with."""
    if output is None:
        raise ReformerError("--resume goes on with a file of answers; name it with --output")
    if output.exists() and not stat.S_ISREG(output.stat().st_mode):
        raise ReformerError(f"{output}: --resume goes on with a file, and this is a folder, a device or a pipe")
    if pictures is not None:
        raise ReformerError("--resume with --pictures: pictures are drawn with all forecasts; leave out one of them")
