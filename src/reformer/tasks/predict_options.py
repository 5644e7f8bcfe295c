"""Options of the commands that predict or evaluate."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOptions:
    """Options of a command that predicts or evaluates; None where nothing was said."""

    format: str | None = None
    encoding: str | None = None
    header: bool | None = None
    """Whether the first line of a table names its columns."""
    text_column: str | None = None
    label_column: str | None = None
    split: str | None = None
    """The part of a data set."""
    text: bool | None = None
    """Whether to repeat the text in the prediction; if nothing was said, yes."""
    pictures: Path | None = None
    """A folder to draw the predictions into."""
    overwrite: bool | None = None
    """Whether pictures that are there may be replaced."""
    columns: str | None = None
    """The columns of CoNLL, such as `word,_,tag`."""
    repair: bool | None = None
    """Whether spans whose own text stands elsewhere are moved to it."""
    on_overlap: Literal["error", "longest", "first", "keep"] | None = None
    """Which of overlapping spans are kept."""
    dst: str | None = None
    """What to make of an hour of a series that is there twice."""
    future_covariates: Path | None = None
    """A table of what is known of the steps to forecast."""
    beams: int | None = None
    """Width of the beam search where a text is generated; if nothing was said, greedy decoding."""
    min_confidence: float | None = None
    """The least probability of an entity or a class that is answered; if nothing was said, all are."""
    joined: bool | None = None
    """Whether neighbouring texts are joined, and long ones split, as for training; if nothing was said, no."""
    keep_columns: bool | None = None
    """Whether an answer has the other columns or fields of its record, too."""
    scores: bool | None = None
    """Whether to give the probability of every class; if nothing was said, yes."""
    aggregation_strategy: Literal["simple", "first", "average", "max"] | None = None
    """How the tags of a word's tokens become one; if nothing was said, as in training."""
    origins: int | None = None
    """How many of the last origins of a series to forecast from; if nothing was said, from all over it."""
    step: int | None = None
    """The steps from one origin to the next."""
    baselines: Sequence[str] | None = None
    """Statistical methods to compare forecasts with."""
