"""Balance of unequal classes in training: weights of the loss, and sampling."""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from reformer.recipe import TrainingRecipe


class BalancedTrainingRecipe(TrainingRecipe, frozen=True):
    """Training of a task that gives each record a class."""

    class_weights: Literal["balanced"] | None = Field(
        None,
        description="balanced: in training the loss of a record counts the more, the rarer its class is: all classes "
        "together count alike; none: all records do",
    )
    sampling: Literal["balanced"] | None = Field(
        None,
        description="balanced: an epoch reads the records of rarer classes again, until each class has as many as the "
        "most frequent one; none: each record once",
    )


def balanced_weights(labels: Int[np.ndarray, " records"]) -> Float[Tensor, "2 labels"]:
    """What the loss of a record counts by its class: each class as much as any other, a record 1 on average.

    The first row, of ones, is for heads of several labels.

    >>> balanced_weights(np.array([0, 0, 0, 1]))[1].tolist()
    [0.6666666865348816, 2.0]
    """
    counts = np.bincount(labels)
    weights = len(labels) / (len(counts) * np.maximum(counts, 1))
    return torch.from_numpy(np.stack((np.ones(len(counts)), weights))).float()
