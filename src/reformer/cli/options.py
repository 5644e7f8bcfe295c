"""Arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder that `reformer train` has written.")]
Format = Annotated[
    str | None,
    typer.Option(help="csv, tsv, jsonl, conll, text or alternating; without it, the file's name tells."),
]
TextColumn = Annotated[
    str | None,
    typer.Option(help="The column that has the text; without it, the one the model was trained with."),
]
Beams = Annotated[
    int | None,
    typer.Option(min=1, help="Where a text is generated: width of the beam search; without it, greedy decoding."),
]
Split = Annotated[str, typer.Option(help="The part of a data set such as index:people-daily.")]
