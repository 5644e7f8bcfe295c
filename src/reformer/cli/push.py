"""`reformer push`."""

from typing import Annotated

import typer

from reformer.cli.options import RunFolder
from reformer.wording import counted


def push(
    run: RunFolder,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The repository on the hub, such as USER/NAME.")],
    private: Annotated[
        bool, typer.Option("--private", help="Make a repository that others cannot see, if it is not there yet.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be published, and reach for nothing.")
    ] = False,
) -> None:
    """Publish a finished run on the Hugging Face hub: model, tokenizer, recipe, scores and card.

    The report and the logs stay here: they quote texts of the data. Files that were learned from, and the model that it
    began as, are named without their folders.
    """
    from reformer.runs.hub import publication
    from reformer.runs.hub import push as publish
    from reformer.terminal import printable

    planned = publication(run, name)
    for file, size in planned.files.items():
        changed = ", without the folders that it names" if file in planned.changed else ""
        typer.echo(printable(f"{file}  {counted(size, 'byte')}{changed}"))
    if planned.kept:
        typer.echo(printable(f"not published: {', '.join(planned.kept)}"))
    if dry_run:
        typer.echo(printable(f"nothing was published: without --dry-run this would be {name}"))
        return
    typer.echo(printable(publish(run, name, private=private)))
