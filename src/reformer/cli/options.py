"""Arguments that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

MAX_COUNT, MAX_BEAMS, MAX_ROUNDS = 2**31 - 1, 4096, 1024
"""Bounds of numbers beyond which no machine can go on."""


class StatisticalBaseline(StrEnum):
    """Methods of statsforecast to compare forecasts with."""

    AUTO_ETS = "auto-ets"
    AUTO_THETA = "auto-theta"


RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder that `reformer train` has written.")]
Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE...",
        help="Files, folders (with all below them), patterns such as 'texts/**/*.txt', or - for standard input, whose "
        "format --format names.",
    ),
]
Labelled = Annotated[
    list[str],
    typer.Argument(
        metavar="DATA...",
        help="Labelled files, folders, patterns, or - for standard input, or one data set as index:NAME.",
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        help="csv, tsv, jsonl, conll, conllu, text, fasttext, alternating, brat, or another that the guide to data "
        "names; without it, the file's name and content tell."
    ),
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
NoHeader = Annotated[
    bool, typer.Option("--no-header", help="The first line of a table names no columns; they are called 1, 2, ...")
]
TextColumn = Annotated[
    str | None,
    typer.Option(help="The column that has the text; without it, the one the model was trained with."),
]
Joined = Annotated[
    bool,
    typer.Option(
        "--joined",
        help="Join neighbouring texts and split long ones as for training (data.max_length); without it, each text is "
        "read as `predict` reads it.",
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(help="The columns of CoNLL in their order, such as word,_,tag; without it, the lines tell."),
]
Repair = Annotated[
    bool, typer.Option("--repair", help="Move spans whose own text stands elsewhere to where it stands.")
]
Overlap = Annotated[
    Literal["longest", "first", "keep", "error"] | None,
    typer.Option(
        "--on-overlap",
        help="Which of overlapping spans to keep: the longest, those that begin first, or all (keep), or an error.",
    ),
]
Aggregation = Annotated[
    Literal["simple", "first", "average", "max"] | None,
    typer.Option(
        "--aggregation-strategy",
        help="Of entities where words are written apart: how a word gets its tag, from its first token (first), the "
        "mean (average) or the surest (max), or that each token keeps its own (simple); without it, as in training.",
    ),
]
Beams = Annotated[
    int | None,
    typer.Option(
        min=1, max=MAX_BEAMS, help="Where a text is generated: width of the beam search; without it, greedy decoding."
    ),
]
Dst = Annotated[
    Literal["first", "shift", "utc"] | None,
    typer.Option(
        help="Of a series with an hour twice, since the clocks went back: leave its second rows out (first), or count "
        "the time that has passed, and go on by the last clock (shift) or the first (utc); without it, as in training."
    ),
]
Origins = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MAX_COUNT,
        help="Of a series: forecast from so many origins, --step steps apart, the last of which forecasts its end, and "
        "tell the errors of each; without it, from origins all over the series.",
    ),
]
Step = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MAX_COUNT,
        help="Of a series: steps from one origin to the next; without it, with --origins the length of a forecast, "
        "else a quarter of it.",
    ),
]
Baselines = Annotated[
    list[StatisticalBaseline] | None,
    typer.Option(
        "--baseline",
        help="Of a series: fit this method of statsforecast to the same past at each origin, and show its errors "
        "beside the model's and the seasonal naive forecast's; may be given twice.",
    ),
]
Split = Annotated[str, typer.Option(help="The part of a data set such as index:people-daily.")]
