"""Learned functions that scores pass through before the softmax, one for each head (`docs/math.md`, equation 9)."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

MOST_COEFFICIENTS = 16
"""The kernels hold so many numbers for a head."""

HELD = 40.0
"""`sinh` is constant where its argument is further from zero than this: its exponential must not overflow."""

TERMS = 10
"""Of the series of `sinh(x) / x`: enough for float64 where `|x| < 1`."""


@dataclass(frozen=True)
class ScoreTransform:
    """A function of the score, the same for all pairs of a head.

    Args:
        coefficients: the numbers of each head, `[heads, coefficients]`, any floating dtype.
    """

    coefficients: Tensor

    number: ClassVar[int]
    """What the kernels call it."""

    @staticmethod
    @abstractmethod
    def value(scores: Tensor, coefficients: Tensor) -> Tensor:
        """The function, with coefficients that lie along the last dimension and else broadcast to the scores."""

    @staticmethod
    @abstractmethod
    def slopes(scores: Tensor, coefficients: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Its derivative by the score, and by each coefficient."""


@dataclass(frozen=True)
class Polynomial(ScoreTransform):
    """`s + c_1 s + c_2 s^2 + ...`: with coefficients of zero the score itself.

    Example:
        >>> Polynomial.value(torch.tensor([2.0]), torch.tensor([[0.0, 0.5]]))
        tensor([4.])
    """

    number: ClassVar[int] = 1

    @staticmethod
    def value(scores: Tensor, coefficients: Tensor) -> Tensor:
        total: Tensor | float = 0.0
        for coefficient in reversed(coefficients.unbind(-1)):
            total = total * scores + coefficient
        return scores + scores * total

    @staticmethod
    def slopes(scores: Tensor, coefficients: Tensor) -> tuple[Tensor, list[Tensor]]:
        slope, power, powers = torch.ones_like(scores), torch.ones_like(scores), []
        for degree, coefficient in enumerate(coefficients.unbind(-1), 1):
            slope = slope + degree * coefficient * power
            power = power * scores
            powers.append(power)
        return slope, powers


@dataclass(frozen=True)
class Sinh(ScoreTransform):
    """`sinh(kappa s) / kappa`: with a kappa of zero the score itself. Constant where `|kappa s| > HELD`.

    Example:
        >>> Sinh.value(torch.tensor([2.0]), torch.tensor([[0.0]]))
        tensor([2.])
    """

    number: ClassVar[int] = 2

    @staticmethod
    def value(scores: Tensor, coefficients: Tensor) -> Tensor:
        kappa = coefficients[..., 0]
        product = scores * kappa
        x = product.clamp(-HELD, HELD)
        # Below 1 the series, which loses no digit where kappa is nearly or exactly zero.
        near, far = scores * _series(x * x), x.sinh() / kappa.where(kappa != 0, 1)
        found = near.where(x.abs() < 1, far)
        return found.where(product.abs() <= HELD, found.detach())

    @staticmethod
    def slopes(scores: Tensor, coefficients: Tensor) -> tuple[Tensor, list[Tensor]]:
        product = scores * coefficients[..., 0]
        x = product.clamp(-HELD, HELD)
        safe, inside = x.where(x.abs() >= 1, 1), product.abs() <= HELD
        bend = (x * _series(x * x, slope=True)).where(x.abs() < 1, (x.cosh() - x.sinh() / safe) / safe)
        return x.cosh().where(inside, 0), [(scores * scores * bend).where(inside, 0)]


def _series(squared: Tensor, slope: bool = False) -> Tensor:
    """`sinh(x) / x` in powers of `x^2`; or with `slope`, `(cosh(x) - sinh(x) / x) / x^2`."""
    total: Tensor | float = 0.0
    for n in reversed(range(TERMS)):
        total = total * squared + 1 / math.factorial(2 * n + 1) / (2 * n + 3 if slope else 1)
    assert isinstance(total, Tensor)
    return total
