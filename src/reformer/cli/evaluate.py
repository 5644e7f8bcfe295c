"""`reformer evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from reformer.cli.options import Format, RunFolder, Split, TextColumn


def evaluate(
    run: RunFolder,
    data: Annotated[str, typer.Argument(metavar="DATA", help="A labelled file, or a data set as index:NAME.")],
    format: Format = None,
    text_column: TextColumn = None,
    label_column: Annotated[str | None, typer.Option(help="The column that has the label.")] = None,
    split: Split = "test",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the scores as JSON here, too.")] = None,
) -> None:
    """Score a trained model on labelled documents, joined to the length the model was trained on.

    Entities count as right when both their ends and their type are.
    """
    import json

    from rich.console import Console
    from rich.table import Table

    from reformer.training.document_tasks import DocumentTask
    from reformer.training.predict import evaluate as score
    from reformer.training.run import load_run
    from reformer.training.splits import joined, read_source

    loaded = load_run(run, DocumentTask)
    documents = read_source(
        data, loaded.recipe.data, split=split, format=format, text_column=text_column, label_column=label_column
    )
    metrics = score(loaded, joined(documents, loaded.recipe.data))
    table = Table(title=f"{run} on {data}", title_justify="left")
    table.add_column("measure")
    table.add_column("value", justify="right")
    for name, value in metrics.items():
        table.add_row(name, f"{value:.4f}" if isinstance(value, float) else f"{value:,}")
    Console().print(table)
    if output is not None:
        output.write_text(json.dumps(metrics, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
