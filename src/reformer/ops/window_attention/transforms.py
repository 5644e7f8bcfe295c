"""Score transforms: a learned function of each head, applied to scores before the softmax (`docs/math.md`, 9)."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

MOST_COEFFICIENTS = 16
"""Coefficients of a head, at most: kernels keep them in registers."""

SINH_CLAMP = 40.0
"""Bound of the argument of `sinh`, which is clamped to it: without the bound its exponential overflows."""

TERMS = 10
"""Terms of the series of `sinh(x) / x`: enough for float64 where `|x| < 1`."""


@dataclass(frozen=True)
class ScoreTransform:
    """A function of the score, the same for all pairs of a head.

    Args:
        coefficients: of each head, any floating dtype.
    """

    # Not checked here, so that `window_attention` can refuse other shapes with a message of its own.
    coefficients: Shaped[Tensor, "..."]

    number: ClassVar[int]
    """The transform's number in the kernels, where 0 is none."""

    @staticmethod
    @abstractmethod
    def value(scores: Float[Tensor, "*#any"], coefficients: Float[Tensor, "*#any count"]) -> Float[Tensor, "..."]:
        """The transformed scores; coefficients, but for their last dimension, broadcast to the scores."""

    @staticmethod
    @abstractmethod
    def slopes(
        scores: Float[Tensor, "*#any"], coefficients: Float[Tensor, "*#any count"]
    ) -> tuple[Float[Tensor, "..."], list[Float[Tensor, "..."]]]:
        """The derivatives of the function by the score, and by each coefficient, in the shape of the scores."""


@dataclass(frozen=True)
class Polynomial(ScoreTransform):
    """`s + c_1 s + c_2 s^2 + ...`: the identity if all coefficients are zero.

    Example:
        >>> Polynomial.value(torch.tensor([2.0]), torch.tensor([[0.0, 0.5]]))
        tensor([4.])
    """

    number: ClassVar[int] = 1

    @staticmethod
    def value(scores: Float[Tensor, "*#any"], coefficients: Float[Tensor, "*#any count"]) -> Float[Tensor, "..."]:
        total: Tensor | float = 0.0
        for coefficient in reversed(coefficients.unbind(-1)):
            total = total * scores + coefficient
        return scores + scores * total

    @staticmethod
    def slopes(
        scores: Float[Tensor, "*#any"], coefficients: Float[Tensor, "*#any count"]
    ) -> tuple[Float[Tensor, "..."], list[Float[Tensor, "..."]]]:
        slope, power, powers = torch.ones_like(scores), torch.ones_like(scores), []
        for degree, coefficient in enumerate(coefficients.unbind(-1), 1):
            slope = slope + degree * coefficient * power
            power = power * scores
            powers.append(power)
        return slope, powers


@dataclass(frozen=True)
class Sinh(ScoreTransform):
    """`sinh(kappa s) / kappa`: the identity if kappa is zero. Constant where `|kappa s| > SINH_CLAMP`.

    Example:
        >>> Sinh.value(torch.tensor([2.0]), torch.tensor([[0.0]]))
        tensor([2.])
    """

    number: ClassVar[int] = 2

    @staticmethod
    def value(scores: Float[Tensor, "*#any"], coefficients: Float[Tensor, "*#any count"]) -> Float[Tensor, "..."]:
        kappa = coefficients[..., 0]
        product = scores * kappa
        x = product.clamp(-SINH_CLAMP, SINH_CLAMP)
        # Below 1 `sinh(x) / kappa` loses digits to cancellation, and at a kappa of zero it is 0 / 0, unlike the series.
        near, far = scores * _series(x * x), x.sinh() / kappa.where(kappa != 0, 1)
        transformed = near.where(x.abs() < 1, far)
        return transformed.where(product.abs() <= SINH_CLAMP, transformed.detach())

    @staticmethod
    def slopes(
        scores: Float[Tensor, "*#any"], coefficients: Float[Tensor, "*#any count"]
    ) -> tuple[Float[Tensor, "..."], list[Float[Tensor, "..."]]]:
        product = scores * coefficients[..., 0]
        x = product.clamp(-SINH_CLAMP, SINH_CLAMP)
        safe, inside = x.where(x.abs() >= 1, 1), product.abs() <= SINH_CLAMP
        bend = (x * _series(x * x, slope=True)).where(x.abs() < 1, (x.cosh() - x.sinh() / safe) / safe)
        return x.cosh().where(inside, 0), [(scores * scores * bend).where(inside, 0)]


def _series(squared: Float[Tensor, "*any"], slope: bool = False) -> Float[Tensor, "*any"]:
    """`sinh(x) / x` in powers of `x^2`; or with `slope`, `(cosh(x) - sinh(x) / x) / x^2`."""
    total: Tensor | float = 0.0
    for n in reversed(range(TERMS)):
        total = total * squared + 1 / math.factorial(2 * n + 1) / (2 * n + 3 if slope else 1)
    assert isinstance(total, Tensor)
    return total
