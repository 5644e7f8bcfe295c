"""The linear part of a forecaster, found by least squares before the first step."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from reformer.models import ReformerForForecasting
from reformer.training.series_windows import SeriesWindows, stack

# More windows overlap so much that they tell nothing new.
MOST_WINDOWS = 4096
AT_A_TIME = 256

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
"""Of the squared weights, beside the mean square of what they are multiplied with."""


@torch.no_grad()
def prime_linear(model: ReformerForForecasting, train: SeriesWindows, validation: SeriesWindows) -> None:
    """Set `model.linear` to the ridge regression of the horizon on the last steps, and the layers to add nothing yet.

    The penalty is the one with the least absolute error on `validation`. Gradient descent comes to the same place,
    over many passes: neighbouring steps are so alike that it learns their differences last. A model without a linear
    part stays as it is.
    """
    if model.linear is None:
        return
    width = model.config.linear_context + 1
    gram = torch.zeros(width, width, dtype=torch.float64)
    moments = torch.zeros(width, model.config.prediction_length, dtype=torch.float64)
    for inputs, labels in _rows(model, train):
        gram += inputs.T @ inputs
        moments += inputs.T @ labels
    if not gram.any():
        return
    penalty = torch.eye(width, dtype=torch.float64) * gram.diagonal()[:-1].mean()
    found = [torch.linalg.solve(gram + part * penalty, moments) for part in PENALTIES]
    errors = torch.zeros(len(PENALTIES), dtype=torch.float64)
    for inputs, labels in _rows(model, validation):
        errors += torch.stack([(inputs @ weights - labels).abs().sum() for weights in found])
    best = found[int(errors.argmin())]
    model.linear.weight.copy_(best[:-1].T)
    model.linear.bias.copy_(best[-1])
    model.forecast.weight.zero_()
    model.forecast.bias.zero_()


def _rows(model: ReformerForForecasting, windows: SeriesWindows) -> Iterator[tuple[Tensor, Tensor]]:
    """Scaled last steps with a one behind them, and the scaled horizon, of channels whose horizon is known whole."""
    chosen = np.unique(np.linspace(0, len(windows) - 1, min(len(windows), MOST_WINDOWS)).round().astype(np.int64))
    for begin in range(0, len(chosen), AT_A_TIME):
        batch = stack([windows[int(index)] for index in chosen[begin : begin + AT_A_TIME]])
        recent, labels = model.scaled(batch["values"], batch["labels"])
        known = labels.isfinite().all(-1)
        yield torch.cat((recent, torch.ones(len(recent), 1)), -1)[known].double(), labels[known].double()
