"""`reformer data check`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reformer.cli.options import Encoding, Format, NoHeader
from reformer.wording import counted

if TYPE_CHECKING:
    from reformer.insight.data_check import DataReport
    from reformer.terminal import PlainConsole

MOST_PRINTED = 1000
"""Faults that are printed, at most; --json and --html have all."""


def check(
    source: Annotated[str, typer.Argument(metavar="FILE", help="A file of documents, pairs or questions.")],
    recipe: Annotated[
        Path | None,
        typer.Option(
            help="The recipe that will learn from it: for how it is read, and to check tokenizer, length and leaks."
        ),
    ] = None,
    task: Annotated[str | None, typer.Option(help="What the records are for; without it, what they look like.")] = None,
    format: Format = None,
    encoding: Encoding = None,
    no_header: NoHeader = False,
    text_column: Annotated[str | None, typer.Option(help="The column that has the text.")] = None,
    label_column: Annotated[str | None, typer.Option(help="The column that has the label.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report as a page of HTML here, too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the page of HTML.")] = False,
) -> None:
    """Check a file before training: figures, and every fault with its line. The exit status is 1 if there is one.

    Faults are records that cannot be read, have no label, are too long, stand twice with different labels, or stand in
    what is learned from and in what measures it.
    """
    import json

    from reformer.errors import ReformerError
    from reformer.files import refuse_existing, refuse_overwriting_inputs, replaced
    from reformer.insight.data_check import check_data
    from reformer.insight.page import page
    from reformer.runs.recipe_file import read_recipe
    from reformer.terminal import PlainConsole, printable

    if recipe is not None and task is not None:
        raise typer.BadParameter("--task is what the recipe says; leave one of them out")
    if html is not None:
        refuse_overwriting_inputs(html, [source, recipe])
        if not overwrite:
            refuse_existing(html)
    report = check_data(
        source,
        None if recipe is None else read_recipe(recipe),
        task=task,
        format=format,
        text_column=text_column,
        label_column=label_column,
        encoding=encoding,
        header=not no_header,
    )
    if as_json:
        # JSON is UTF-8, and its escapes are safe in a terminal.
        typer.echo(printable(json.dumps(report.to_json(), indent=2)))
    else:
        _print(report, PlainConsole())
    if html is not None:
        with replaced(html, overwrite=overwrite) as file:
            file.write(page(report).encode("utf-8", "replace"))
    if report.faults:
        count = len(report.faults)
        raise ReformerError(f"{source}: {count:,} {'fault' if count == 1 else 'faults'}")


def _print(report: "DataReport", console: "PlainConsole") -> None:
    from rich.table import Table

    figures = Table(title=f"{report.source}, for {report.task}", title_justify="left", show_header=False)
    figures.add_row("records", f"{report.records:,}")
    figures.add_row("characters", f"{report.characters:,}")
    for name, value in report.lengths.items():
        figures.add_row(f"{name} text", f"{counted(value, 'character')}")
    for name, share in report.scripts.items():
        figures.add_row(f"letters, {name}", f"{share:.1%}")
    console.print(figures)
    if report.labels:
        labels = Table("label", "count", "share", title="labels", title_justify="left")
        total = sum(report.labels.values())
        for name, count in report.labels.items():
            labels.add_row(name, f"{count:,}", f"{count / total:.1%}")
        console.print(labels)
    for fault in report.faults[:MOST_PRINTED]:
        console.print(f"fault: {fault}", style="red", soft_wrap=True)
    if len(report.faults) > MOST_PRINTED:
        console.print(f"and {len(report.faults) - MOST_PRINTED:,} more: --json and --html have all", style="red")
    for note in report.notes:
        console.print(f"note: {note}", style="yellow", soft_wrap=True)
