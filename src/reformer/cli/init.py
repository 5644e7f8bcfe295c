"""`reformer init`."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from reformer.cli.options import Encoding, Format, NoHeader


def init(
    source: Annotated[
        str, typer.Argument(metavar="FILE", help="A file of yours, a folder of texts, or a data set as index:NAME.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The recipe to write; without it, the file's name and .toml.")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="token-classification, sequence-classification, question-answering, text-to-text, language-modelling "
            "or masked-language-modelling; without it, what the records are labelled for."
        ),
    ] = None,
    format: Format = None,
    encoding: Encoding = None,
    no_header: NoHeader = False,
    text_column: Annotated[str | None, typer.Option(help="The column that has the text.")] = None,
    label_column: Annotated[str | None, typer.Option(help="The column that has the label.")] = None,
    minutes: Annotated[float, typer.Option(min=0.1, max=100_000, help="Minutes to train.")] = 15,
    offline: Annotated[
        bool, typer.Option("--offline", help="Begin with no pretrained model, which would have to be fetched.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output file.")] = False,
) -> None:
    """Look at a file and write a recipe for it: a TOML file that `reformer train` takes as it is.

    The comments in it say what was found in the data, and why each choice was made.
    """
    from reformer.advice.advise import advise
    from reformer.files import refuse_existing, refuse_overwriting_inputs, replaced
    from reformer.terminal import PlainConsole

    output = output or Path(f"{_stem(source)}.toml")
    refuse_overwriting_inputs(output, [source])
    if not overwrite:
        refuse_existing(output)
    advice = advise(
        source,
        task=task,
        format=format,
        text_column=text_column,
        label_column=label_column,
        encoding=encoding,
        header=not no_header,
        minutes=minutes,
        offline=offline,
    )
    with replaced(output, overwrite=overwrite) as file:
        file.write(advice.recipe.encode())
    console = PlainConsole()
    for line in advice.figures:
        console.print(line, soft_wrap=True)
    console.print(
        f"{output}: a recipe for {advice.task}; train it: reformer train {shlex.quote(str(output))}", soft_wrap=True
    )


def _stem(source: str) -> str:
    """The name of a file without its folder and suffixes, or of a data set."""
    name = Path(source.removeprefix("index:")).resolve().name
    return name.removesuffix(".gz").rpartition(".")[0] or name
