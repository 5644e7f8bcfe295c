"""Base class of metrics: counts that add up over batches and processes."""

from typing import Any, Protocol

from numpy.typing import NDArray


class Metric(Protocol):
    """Counts, which add up over batches and processes, and what follows from them."""

    counts: NDArray[Any]

    def result(self) -> dict[str, float]:
        """The measures by name."""
        ...
