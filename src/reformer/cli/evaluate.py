"""`reformer evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reformer.cli.files import check_output_file
from reformer.cli.lean_start import start_lean
from reformer.cli.options import (
    Aggregation,
    Baselines,
    Beams,
    Columns,
    Dst,
    Encoding,
    Format,
    Header,
    Joined,
    Labelled,
    Origins,
    Overlap,
    Repair,
    RunFolder,
    Split,
    Step,
    TextColumn,
)
from reformer.cli.progress import progress
from reformer.cli.tables import table_of
from reformer.errors import ReformerError

if TYPE_CHECKING:
    from reformer.tasks.base import Evaluation


def evaluate(
    run: RunFolder,
    data: Labelled,
    format: Format = None,
    encoding: Encoding = None,
    header: Header = None,
    text_column: TextColumn = None,
    label_column: Annotated[str | None, typer.Option(help="The column that has the label.")] = None,
    split: Split = "test",
    columns: Columns = None,
    repair: Repair = False,
    on_overlap: Overlap = None,
    joined: Joined = False,
    aggregation_strategy: Aggregation = None,
    beams: Beams = None,
    dst: Dst = None,
    origins: Origins = None,
    step: Step = None,
    baseline: Baselines = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the metrics as JSON here, too.")] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            help="Write a report here: scores of each class, confusions, and every mistake in its context; of "
            "forecasts, their errors by step and series, and the worst of each series."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output files.")] = False,
) -> None:
    """Evaluate a trained model on labelled files.

    What is measured are the answers that `predict` gives for the same files. An entity is right if both its ends and
    its type are. The metrics of generated texts are chrF and BLEU. Of a series, forecasts from many origins are
    compared with what came, and with the seasonal naive forecast.
    """
    start_lean()
    import json
    from contextlib import ExitStack
    from dataclasses import replace
    from functools import partial

    from reformer.files import replaced
    from reformer.report.page import report_page
    from reformer.runs.loading import load_run
    from reformer.tasks.documents.task import DocumentTask
    from reformer.tasks.predict_options import PredictOptions
    from reformer.tasks.predicting import PredictingTask
    from reformer.terminal import PlainConsole

    for file in (output, html):
        check_output_file(file, data, run, overwrite=overwrite)
    if html is not None and output is not None and html.resolve() == output.resolve():
        raise ReformerError(f"{html}: --html and --output are the same file; give each its own")
    loaded = load_run(run, PredictingTask)
    options = PredictOptions(
        format=format,
        encoding=encoding,
        header=header,
        text_column=text_column,
        label_column=label_column,
        beams=beams,
        dst=dst,
        origins=origins,
        step=step,
        baselines=tuple(name.value for name in baseline) if baseline else None,
        columns=columns,
        repair=repair or None,
        joined=joined or None,
        on_overlap=on_overlap,
        aggregation_strategy=aggregation_strategy,
    )
    loaded.task.check_options(loaded.recipe.training.task, options)
    options = replace(options, split=split)
    files = loaded.task.find_inputs(data, format)
    for file in (output, html):
        check_output_file(file, files, run, overwrite=True)
    shown = ", ".join(data)
    task, counting = loaded.task, {}
    with ExitStack() as bar:
        if isinstance(task, DocumentTask):
            total = partial(task.labelled_size, loaded, files, options)
            counting["on_answer"] = bar.enter_context(progress(PlainConsole(stderr=True), total))
        found = task.evaluation(loaded, files, options, reviewed=html is not None, **counting)
    if html is not None:
        assert found.review is not None
        page = report_page(f"{run} on {shown}", {shown: found.review}, loaded.calibration)
        with replaced(html, overwrite=overwrite) as file:
            file.write(page)
    _print(found, f"{run} on {shown}")
    if output is not None:
        with replaced(output, overwrite=overwrite) as file:
            told = dict(found.metrics) | ({"baselines": found.compared} if found.compared else {})
            told |= dict(found.tables) | dict(found.details)
            file.write((json.dumps(told, ensure_ascii=False, indent=2) + "\n").encode())


def _print(found: "Evaluation", title: str) -> None:
    from reformer.metrics.doubts import doubts
    from reformer.terminal import PlainConsole

    console, aside = PlainConsole(), PlainConsole(stderr=True)
    others = found.compared
    metrics = [
        {"metric": name, "value": value} | {other: values.get(name) for other, values in others.items()}
        for name, value in found.metrics.items()
    ]
    for name, rows in {title: metrics, **found.tables}.items():
        console.print(table_of(name, rows))
    for line in found.notes:
        aside.print(line, soft_wrap=True)
    for line in doubts(found.metrics):
        aside.print(f"warning: {line}", style="yellow", soft_wrap=True)
