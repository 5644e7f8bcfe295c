"""Arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

MAX_COUNT, MAX_BEAMS, MAX_ROUNDS = 2**31 - 1, 4096, 1024
"""Bounds of numbers beyond which no machine can go on."""

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder that `reformer train` has written.")]
Format = Annotated[
    str | None,
    typer.Option(help="csv, tsv, jsonl, conll, text, fasttext or alternating; without it, the file's name tells."),
]
Encoding = Annotated[
    str | None, typer.Option(help="The file's encoding, such as gb18030 or utf-16; without it, UTF-8.")
]
Header = Annotated[
    bool | None,
    typer.Option(
        "--header/--no-header",
        help="Whether the first line of a table names its columns, which are called 1, 2, ... otherwise; without it, "
        "as in training.",
    ),
]
TextColumn = Annotated[
    str | None,
    typer.Option(help="The column that has the text; without it, the one the model was trained with."),
]
Beams = Annotated[
    int | None,
    typer.Option(
        min=1, max=MAX_BEAMS, help="Where a text is generated: width of the beam search; without it, greedy decoding."
    ),
]
Split = Annotated[str, typer.Option(help="The part of a data set such as index:people-daily.")]
