"""`reformer evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

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
    Joined,
    Labelled,
    Overlap,
    Repair,
    RunFolder,
    Split,
    TextColumn,
)
from reformer.cli.progress import progress
from reformer.errors import ReformerError


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
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the metrics as JSON here, too.")] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Write a report here: scores of each class, confusions, and every mistake in its context."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output files.")] = False,
) -> None:
    """Evaluate a trained model on labelled files.

    What is measured are the answers that `predict` gives for the same files. An entity is right if both its ends and
    its type are. The metrics of generated texts are chrF and BLEU.
    """
    start_lean()
    import json
    from contextlib import ExitStack
    from dataclasses import replace
    from functools import partial

    from rich.table import Table

    from reformer.files import replaced
    from reformer.metrics.doubts import doubts
    from reformer.report.page import report_page
    from reformer.runs.loading import load_run
    from reformer.tasks.base import PredictingTask, PredictOptions
    from reformer.tasks.documents.task import DocumentTask
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
        if html is None:
            metrics, review = task.evaluate(loaded, files, options, **counting), None
        else:
            review = task.review(loaded, files, options, **counting)
            metrics = dict(review.metrics)
    if html is not None:
        assert review is not None
        page = report_page(f"{run} on {shown}", {shown: review}, loaded.calibration)
        with replaced(html, overwrite=overwrite) as file:
            file.write(page)
    table = Table(title=f"{run} on {shown}", title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in metrics.items():
        table.add_row(name, f"{value:.4f}" if isinstance(value, float) else f"{value:,}")
    PlainConsole().print(table)
    for line in doubts(metrics):
        PlainConsole(stderr=True).print(f"warning: {line}", style="yellow", soft_wrap=True)
    if output is not None:
        with replaced(output, overwrite=overwrite) as file:
            file.write((json.dumps(metrics, ensure_ascii=False, indent=2) + "\n").encode())
