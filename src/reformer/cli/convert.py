"""`reformer convert`."""

from pathlib import Path
from typing import Annotated

import typer

from reformer.wording import counted


def convert(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A model's folder, its name on the hub, such as bert-base-chinese, or index:NAME of `data list`.",
        ),
    ],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The new folder to write.")],
    length: Annotated[
        int | None, typer.Option(min=1, help="The most tokens to read; learned positions are continued by repeating.")
    ] = None,
    layers: Annotated[int | None, typer.Option(min=1, help="Keep so many of the lowest layers.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="Attention of the layers that see all tokens: local or local+lsh.")
    ] = None,
    window: Annotated[
        int | None, typer.Option(min=1, help="Its windows: how many tokens to each side, the token itself included.")
    ] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Take a model whose licence forbids some uses.")
    ] = False,
) -> None:
    """Convert a pretrained model of another architecture, such as BERT, ModernBERT or Qwen3.

    Both models read a few sequences first, and answers that differ by more than 0.0001 are an error. A recipe starts
    from the folder by finetune.start_from.
    """
    from reformer.tasks.conversion import convert_to_folder
    from reformer.terminal import printable

    found = convert_to_folder(
        name, folder, length=length, layers=layers, kind=kind, window=window, accept_licence=accept_licence
    )
    weights = sum(parameter.numel() for parameter in found.model.parameters())
    typer.echo(
        printable(
            f"{folder}: {type(found.model).__name__}, {counted(weights, 'weight')}; converted, its answers differ "
            "by at most "
            f"{found.difference:.1e} from the original's"
        )
    )
    if found.exact_length is not None:
        typer.echo(
            printable(
                f"it is the same function on texts of at most {counted(found.exact_length, 'token')}; of longer ones "
                "the original sees whole chunks, and this model what is within sliding windows"
            )
        )
    if found.nearness is not None:
        typer.echo(printable(found.nearness.in_words()))
    if found.licences:
        typer.echo(printable(f"licence: {', '.join(found.licences)}"))
    if found.dropped:
        typer.echo(
            printable(f"without a place in it: {'; '.join(found.dropped[:5])}{'; ...' * (len(found.dropped) > 5)}")
        )
