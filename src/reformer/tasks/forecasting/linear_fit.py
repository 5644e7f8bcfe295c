"""The linear part of a forecaster, found in closed form before the first step."""

import numpy as np
import torch
from torch import Tensor

from reformer.data.batching.series_windows import SeriesWindows, stack
from reformer.models import ReformerForForecasting

# So many series of the last steps are held at a time, channels counted: some hundred megabytes.
MOST_ROWS = 1 << 16
AT_A_TIME = 2048

PENALTIES = (1e-3, 1e-2, 3e-2, 1e-1, 3e-1)
"""Of the squared weights, beside the mean square of what they are multiplied with."""

REWEIGHTINGS = 2
LEAST_ERROR = 0.05
"""In units of a series' spread; one forecast without an error must not outweigh all others."""


@torch.no_grad()
def fit_linear(model: ReformerForForecasting, train: SeriesWindows, validation: SeriesWindows) -> None:
    """Set `model.linear` to a ridge regression of the horizon on the last steps, for good, and let the layers add
    nothing yet: they learn what it leaves.

    Where the model learns quantiles, whose loss is absolute, the regression is repeated with each forecast weighted by
    one over its mean absolute error (Schlossmacher 1973): the squares then add up to absolute errors, and a few days
    unlike all others do not decide. The penalty is the one with the least absolute error on `validation`.

    Gradient descent would come to about the same place, over many passes: neighbouring steps are so alike that it
    learns their differences last. Its first steps lead away from there, hence the linear part does not learn. A model
    without one stays as it is.
    """
    if model.linear is None:
        return
    inputs, labels = _rows(model, train)
    if not len(inputs):
        return
    held = _rows(model, validation)
    best = _fitted(inputs, labels, torch.ones(len(inputs)), held)
    for _ in range(REWEIGHTINGS if model.config.quantiles else 0):
        best = _fitted(inputs, labels, 1 / _errors(inputs, labels, best).clamp_min(LEAST_ERROR), held)
    model.linear.weight.copy_(best[:-1].T)
    model.linear.bias.copy_(best[-1])
    model.linear.requires_grad_(False)
    model.forecast.weight.zero_()
    model.forecast.bias.zero_()


def _fitted(inputs: Tensor, labels: Tensor, weights: Tensor, held: tuple[Tensor, Tensor]) -> Tensor:
    """The weighted regression, `[last + 1, horizon]`, with the best penalty."""
    gram = torch.zeros(inputs.shape[1], inputs.shape[1], dtype=torch.float64)
    moments = torch.zeros(inputs.shape[1], labels.shape[1], dtype=torch.float64)
    for rows, wanted, weight in zip(*(part.split(AT_A_TIME) for part in (inputs, labels, weights)), strict=True):
        weighted = (rows * weight[:, None]).double().T
        gram += weighted @ rows.double()
        moments += weighted @ wanted.double()
    penalty = torch.eye(len(gram), dtype=torch.float64) * gram.diagonal()[:-1].mean()
    found = [torch.linalg.solve(gram + part * penalty, moments).float() for part in PENALTIES]
    return min(found, key=lambda each: float(_errors(*held, each).sum()))


def _errors(inputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Each forecast's mean absolute error."""
    return (inputs @ weights - labels).abs().mean(-1)


def _rows(model: ReformerForForecasting, windows: SeriesWindows) -> tuple[Tensor, Tensor]:
    """Scaled last steps with a one behind them, and the scaled horizon, of channels whose horizon is known whole.
    Where there are too many, those of origins that are equally far apart."""
    most = max(1, MOST_ROWS // len(windows.series.columns))
    chosen = np.unique(np.linspace(0, len(windows) - 1, min(len(windows), most)).round().astype(np.int64))
    recent = windows.with_context(model.config.linear_context)
    found = []
    for begin in range(0, len(chosen), AT_A_TIME):
        batch = stack([recent[int(index)] for index in chosen[begin : begin + AT_A_TIME]])
        inputs, labels = model.scaled(batch["values"], batch["labels"])
        known = labels.isfinite().all(-1)
        found.append((torch.cat((inputs, torch.ones(len(inputs), 1)), -1)[known], labels[known]))
    inputs, labels = zip(*found, strict=True)
    return torch.cat(inputs), torch.cat(labels)
