"""`reformer predict`."""

import math
import stat
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from reformer.cli.answers import print_answers, write_answers
from reformer.cli.errors import say_error, say_note
from reformer.cli.files import check_output_file
from reformer.cli.lean_start import start_lean
from reformer.cli.options import (
    MAX_COUNT,
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
from reformer.cli.threads import core_quota, usable_cores
from reformer.errors import ReformerError
from reformer.inference.answer_forms import answer_form, check_form, is_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reformer.data import DataError
    from reformer.inference.answer_forms import Form
    from reformer.tasks.base import Run
    from reformer.tasks.predicting import PredictingTask
    from reformer.tasks.predictions import Prediction


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
    engine: Annotated[
        Literal["ray"] | None,
        typer.Option(
            help="ray: answer on all cores of this machine, or of the Ray cluster that it belongs to or RAY_ADDRESS "
            "names, one worker of one thread each; the output is the same. Without it, in this process."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=MAX_COUNT, help="Workers of --engine ray; without it, one a core.")
    ] = None,
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
    if workers is not None and engine is None:
        raise ReformerError(f"--workers {workers} is of --engine ray; give that, too, or leave it out")
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

    size = partial(loaded.task.size, loaded, files, options)

    def form(is_begun: bool) -> "Form":
        return answer_form(output, to, excel=excel, is_begun=is_begun)

    with _engine(engine, workers, loaded, files) as predict_with:
        predictions = partial(predict_with, loaded, files, options, skip)
        if output is None:
            print_answers(predictions(None), form(False), skip, size)
        else:
            inputs = files if future_covariates is None else [*files, str(future_covariates)]
            request = request_of(run, inputs, options, {"--excel": excel, "--to": to}, resume=resume)
            write_answers(predictions, output, request, form, skip, size, overwrite=overwrite, resume=resume)
    if skipped:
        raise ReformerError(f"{skipped:,} left out, for the reasons above; all others were answered")


@contextmanager
def _engine(
    engine: str | None, workers: int | None, run: "Run[PredictingTask]", files: list[str]
) -> "Iterator[Callable[..., Iterator[Prediction]]]":
    """What predicts: this process, or workers on Ray."""
    if engine is None:
        yield run.task.predict
        return
    from reformer.inference.ray_engine import check_files, predict_on_ray, ray_cluster

    if not run.task.reads_records:
        told = f"a run that has learned {run.recipe.training.task} reads whole files, and not record by record"
        raise ReformerError(f"--engine ray: {told}; leave it out")
    check_files(files)
    cores = math.floor(min(usable_cores(), core_quota() or math.inf)) or 1
    with ray_cluster(workers, cores) as number:
        yield partial(predict_on_ray, workers=number, prepare=start_lean, on_restart=say_note)


def _check_resumable(output: Path | None, pictures: Path | None) -> None:
    """Raise `ReformerError` where nothing is written that could be gone on with."""
    if output is None:
        raise ReformerError("--resume goes on with a file of answers; name it with --output")
    if output.exists() and not stat.S_ISREG(output.stat().st_mode):
        raise ReformerError(f"{output}: --resume goes on with a file, and this is a folder, a device or a pipe")
    if pictures is not None:
        raise ReformerError("--resume with --pictures: pictures are drawn with all forecasts; leave out one of them")
