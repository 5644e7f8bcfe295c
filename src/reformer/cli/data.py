"""`reformer data`: the data sets that come from a package index."""

from typing import Annotated

import typer

from reformer.cli.check import check

data = typer.Typer(help="Data sets that come from a package index, and checks of yours.", no_args_is_help=True)
data.command()(check)


@data.command("list")
def list_() -> None:
    """Show the data sets and pretrained models there are."""
    from rich.table import Table

    from reformer.data import DATA_SETS, PRETRAINED
    from reformer.terminal import PlainConsole

    table = Table("name", "what it is", "download")
    for entry in DATA_SETS.values():
        download = "none" if entry.archive is None else f"{entry.archive.size / 1e6:.0f} MB"
        table.add_row(entry.name, entry.description, download)
    for entry in PRETRAINED.values():
        told = f"{entry.description}; licence {entry.licence} (finetune.start_from)"
        table.add_row(entry.name, told, f"{entry.size / 1e6:.0f} MB")
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
