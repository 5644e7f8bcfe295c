"""Growth of time and memory with a batch: a fixed part, one for each token, and one for each pair of tokens."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

LONGEST = 1 << 26
"""Tokens up to which a crossing is looked for."""


@dataclass(frozen=True)
class Shape:
    """Shape of a batch."""

    rows: int
    length: int

    @property
    def tokens(self) -> int:
        """Its tokens, padding included."""
        return self.rows * self.length

    @property
    def pairs(self) -> int:
        """The pairs of tokens of one row, over all rows."""
        return self.rows * self.length**2


@dataclass(frozen=True)
class Growth:
    """`fixed + per_token * tokens + per_pair * pairs`, none of them negative.

    Full attention computes with every pair of tokens; windows, hashes and all else of a layer with each token alone.
    """

    fixed: float
    per_token: float
    per_pair: float

    def at(self, shape: Shape) -> float:
        """The figure for a batch of a shape."""
        return self.fixed + self.per_token * shape.tokens + self.per_pair * shape.pairs

    def over(self, shapes: Iterable[Shape]) -> float:
        """The sum of the figures for several batches."""
        return sum(map(self.at, shapes))


def fitted(measured: Sequence[tuple[Shape, float]], *, pairs: bool) -> Growth:
    """The growth that is nearest to what was measured, each figure counting by its own size.

    Args:
        measured: figures of batches of several shapes.
        pairs: whether anything grows with pairs of tokens, which two short lengths alone cannot tell from noise.
    """
    figures = np.array([max(figure, 1e-12) for _, figure in measured])
    columns = [np.ones(len(measured)), np.array([shape.tokens for shape, _ in measured], dtype=np.float64)]
    if pairs:
        columns.append(np.array([shape.pairs for shape, _ in measured], dtype=np.float64))
    table = np.stack(columns, 1)
    # Columns of very different sizes would leave the small ones without digits.
    scale = table.max(0)
    found, _ = nnls(table / scale / figures[:, None], np.ones(len(measured)))
    fixed, per_token, *per_pair = (found / scale).tolist()
    return Growth(fixed, per_token, per_pair[0] if per_pair else 0.0)


def crossing(first: Growth, second: Growth) -> int | None:
    """The length of one row from which on the first costs less than the second: the least power of two, or None."""
    length = 64
    while length <= LONGEST:
        if first.at(Shape(1, length)) < second.at(Shape(1, length)):
            return length
        length *= 2
    return None
