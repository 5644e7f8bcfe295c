"""Ridge regression: the linear part of a forecaster in closed form, before the first step."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from reformer.data.batching.series_windows import SeriesWindows
from reformer.models import ReformerForForecasting
from reformer.tasks.forecasting.reader import SeriesReader
from reformer.tasks.forecasting.splits import SeriesSplits

# Rows, one a channel of a window: some hundred megabytes.
MAX_ROWS = 1 << 16
ROWS_AT_A_TIME = 2048

PENALTIES = (1e-3, 1e-2, 3e-2, 1e-1, 3e-1)
"""Ridge penalties that are tried, as a part of the inputs' mean square."""

Inputs = Float[Tensor, "rows inputs"]
Labels = Float[Tensor, "rows horizon"]

REWEIGHTINGS = 2
MIN_ERROR = 0.05
"""In units of a series' spread: without a bound, one forecast without an error would outweigh all others."""


@torch.no_grad()
def fit_linear(model: ReformerForForecasting, splits: SeriesSplits) -> None:
    """Set `model.linear` to a ridge regression of the horizon on the last steps, for good, and let the layers add
    nothing yet: they learn what it leaves.

    Where the model learns quantiles, whose loss is absolute, the regression is repeated with each forecast weighted by
    one over its mean absolute error (Schlossmacher 1973): the squares then add up to absolute errors, and a few days
    unlike all others do not decide. The penalty is the one with the least absolute error on the validation part.

    Gradient descent would come to about the same place, over many passes: neighbouring steps are so alike that it
    learns their differences last. Its first steps lead away from there, hence the linear part does not learn. A model
    without one stays as it is.
    """
    if model.linear is None:
        return
    inputs, labels = _rows(model, splits.train, splits.reader)
    if not len(inputs):
        return
    held_out = _rows(model, splits.validation, splits.reader)
    best = _fitted(inputs, labels, torch.ones(len(inputs)), held_out)
    for _ in range(REWEIGHTINGS if model.config.quantiles else 0):
        best = _fitted(inputs, labels, 1 / _errors(inputs, labels, best).clamp_min(MIN_ERROR), held_out)
    model.linear.weight.copy_(best[:-1].T)
    model.linear.bias.copy_(best[-1])
    model.linear.requires_grad_(False)
    model.forecast.weight.zero_()
    model.forecast.bias.zero_()


def _fitted(
    inputs: Inputs, labels: Labels, weights: Float[Tensor, " rows"], held_out: tuple[Tensor, Tensor]
) -> Float[Tensor, "inputs horizon"]:
    """The coefficients of the weighted regression with the best penalty on the rows that are held out."""
    gram = torch.zeros(inputs.shape[1], inputs.shape[1], dtype=torch.float64)
    moments = torch.zeros(inputs.shape[1], labels.shape[1], dtype=torch.float64)
    for rows, targets, weight in zip(*(part.split(ROWS_AT_A_TIME) for part in (inputs, labels, weights)), strict=True):
        weighted = (rows * weight[:, None]).double().T
        gram += weighted @ rows.double()
        moments += weighted @ targets.double()
    penalty = torch.eye(len(gram), dtype=torch.float64) * gram.diagonal()[:-1].mean()
    tried = [torch.linalg.solve(gram + part * penalty, moments).float() for part in PENALTIES]
    return min(tried, key=lambda coefficients: float(_errors(*held_out, coefficients).sum()))


def _errors(inputs: Inputs, labels: Labels, coefficients: Float[Tensor, "inputs horizon"]) -> Float[Tensor, " rows"]:
    """Each forecast's mean absolute error."""
    return (inputs @ coefficients - labels).abs().mean(-1)


def _rows(model: ReformerForForecasting, windows: SeriesWindows, reader: SeriesReader) -> tuple[Inputs, Labels]:
    """Scaled last steps with a one behind them, and the scaled horizon, of the channels whose horizon has no gap.
    Above `MAX_ROWS`, those of origins that are equally far apart."""
    most = max(1, MAX_ROWS // len(windows.series.columns))
    chosen = np.unique(np.linspace(0, len(windows) - 1, min(len(windows), most)).round().astype(np.int64))
    recent = windows.with_context(model.config.linear_context)
    parts = []
    for begin in range(0, len(chosen), ROWS_AT_A_TIME):
        batch = reader.collate([recent[int(index)] for index in chosen[begin : begin + ROWS_AT_A_TIME]])
        inputs, labels = model.scaled(batch["values"], batch["labels"])
        complete = labels.isfinite().all(-1)
        parts.append((torch.cat((inputs, torch.ones(len(inputs), 1)), -1)[complete], labels[complete]))
    inputs, labels = zip(*parts, strict=True)
    return torch.cat(inputs), torch.cat(labels)
