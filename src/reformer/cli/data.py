"""`reformer data`: data sets from a package index, and conversion of files."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from reformer.cli.check import check
from reformer.cli.options import Columns, Encoding, NoHeader, Repair
from reformer.wording import counted

OnOverlap = Literal["keep", "longest", "first", "error"]

data = typer.Typer(
    help="Data sets from a package index, and checks and conversion of files of yours.", no_args_is_help=True
)
data.command()(check)


@data.command("list")
def list_() -> None:
    """Show the data sets and pretrained models there are."""
    from rich.table import Table

    from reformer.data import DATA_SETS, PRETRAINED
    from reformer.terminal import PlainConsole

    table = Table("name", "what it is", "licence", "download")
    for entry in DATA_SETS.values():
        download = "none" if entry.archive is None else f"{entry.archive.size / 1e6:.0f} MB"
        table.add_row(entry.name, entry.description, entry.licence, download)
    for entry in PRETRAINED.values():
        told = f"{entry.description} (finetune.start_from)"
        table.add_row(entry.name, told, entry.licence, f"{entry.size / 1e6:.0f} MB")
    PlainConsole().print(table)


@data.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that `reformer data list` shows.")],
) -> None:
    """Fetch a data set or a pretrained model, check it, and say where it is kept."""
    from reformer.data import PRETRAINED, fetch_pretrained
    from reformer.data import fetch as fetch_data
    from reformer.terminal import printable

    typer.echo(printable(str((fetch_pretrained if name in PRETRAINED else fetch_data)(name))))


@data.command()
def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="A file of labelled texts, or a folder of brat's files.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write, or the folder for brat.")],
    read_as: Annotated[
        str | None, typer.Option("--from", help="The format of the input; without it, name and content tell.")
    ] = None,
    write_as: Annotated[
        str | None,
        typer.Option(
            "--to",
            help="jsonl, doccano, label-studio, label-studio-predictions, prodigy, spacy, tokens, cluener, cmeee, "
            "conll, bioes, bmes, biluo, io, conllu, brat, csv or tsv; without it, the name of the output tells.",
        ),
    ] = None,
    text_column: Annotated[str, typer.Option(help="The column that has the text.")] = "text",
    label_column: Annotated[str, typer.Option(help="The column that has the class.")] = "label",
    encoding: Encoding = None,
    no_header: NoHeader = False,
    columns: Columns = None,
    repair: Repair = False,
    on_overlap: Annotated[
        OnOverlap,
        typer.Option(help="Which of overlapping spans to keep: all (keep), the longest or first, or an error."),
    ] = "keep",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output file.")] = False,
) -> None:
    """Write labelled texts in another format.

    The new file is read back before it is put in place: whatever it could not hold is refused or told of.
    """
    from reformer.cli.errors import say_error
    from reformer.data.convert import convert as convert_file
    from reformer.data.spans import SpanReading, column_names
    from reformer.errors import ReformerError
    from reformer.files import refuse_existing, refuse_overwriting_inputs
    from reformer.terminal import PlainConsole

    refuse_overwriting_inputs(output, [source])
    if not overwrite:
        refuse_existing(output, option="OUT")
    refused = 0

    def refuse(error: Exception) -> None:
        nonlocal refused
        refused += 1
        say_error(str(error))

    done = convert_file(
        source,
        output,
        write_as=write_as,
        overwrite=overwrite,
        on_error=refuse,
        format=read_as,
        spans=SpanReading(repair, on_overlap, column_names(columns)),
        text_column=text_column,
        label_column=label_column,
        encoding=encoding,
        header=not no_header,
    )
    console = PlainConsole(stderr=True)
    console.print(f"{output}: {counted(done.documents, 'document')}, {counted(done.spans, 'entity')}", soft_wrap=True)
    if refused:
        raise ReformerError(f"{refused:,} left out, for the reasons above")
