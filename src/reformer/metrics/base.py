"""Base class of metrics: counts that add up over batches and processes."""

from typing import Protocol, runtime_checkable

from jaxtyping import Num
from numpy import ndarray


@runtime_checkable
class Metric(Protocol):
    """Counts of what was predicted, and the values that follow from them.

    A batch is counted by adding to `counts`. The counts of several batches, or of several processes, are their sum;
    the values are computed from the sum alone, so they do not depend on how the records were divided.
    """

    counts: Num[ndarray, "..."]

    def result(self) -> dict[str, float]:
        """The values by name."""
        ...


@runtime_checkable
class StandstillMetric(Metric, Protocol):
    """Metric that sees when a model has not begun to tell anything apart."""

    @property
    def standstill(self) -> str | None:
        """What is seen where nothing was found, or one answer was given everywhere; None elsewhere."""
        ...
