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

    def more(self, *, fixed: float = 0.0, per_token: float = 0.0) -> "Growth":
        """The same with something added."""
        return Growth(self.fixed + fixed, self.per_token + per_token, self.per_pair)

    def times(self, factor: float) -> "Growth":
        """The same, multiplied."""
        return Growth(factor * self.fixed, factor * self.per_token, factor * self.per_pair)

    def over(self, shapes: Iterable[Shape]) -> float:
        """The sum of the figures for several batches."""
        return sum(map(self.at, shapes))


def fitted(measured: Sequence[tuple[Shape, float]], *, pairs: bool) -> Growth:
    """The growth through the last figure that is nearest to the few before it, each counting by its own size.

    Smaller batches are left out: they fill neither buckets nor caches.

    Args:
        measured: figures of batches of several shapes, the largest last.
        pairs: whether anything grows with pairs of tokens, which two short lengths alone cannot tell from noise.
    """
    measured = [(shape, max(figure, 1e-12)) for shape, figure in measured[-3 if pairs else -2 :]]
    largest, last = measured[-1]
    if len(measured) == 1:
        return Growth(0.0, last / largest.tokens, 0.0)
    figures = np.array([figure for _, figure in measured])
    table = np.array([[1.0, shape.tokens, shape.pairs] for shape, _ in measured])
    # Columns of very different sizes would leave the small ones without digits.
    scale = table.max(0)
    used = [True, True, pairs]
    if pairs and len(measured) == 2:
        # Two figures tell two parts: by which of them they differ is told by whether they outgrow the tokens.
        outgrows = last * table[0, 1] > figures[0] * table[1, 1]
        used = [not outgrows, True, outgrows]
    found, _ = nnls(table * used / scale / figures[:, None], np.ones(len(measured)))
    growth = Growth(*(found / scale).tolist())
    return growth.times(last / growth.at(largest))


def crossing(first: Growth, second: Growth) -> int | None:
    """The length of one row from which on the first costs less than the second: the least power of two, or None."""
    length = 64
    while length <= LONGEST:
        if first.at(Shape(1, length)) < second.at(Shape(1, length)):
            return length
        length *= 2
    return None
