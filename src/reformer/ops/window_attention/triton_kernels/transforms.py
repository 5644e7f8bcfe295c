"""What a block of scores passes through before the softmax, and the way back (`docs/math.md`, equation 9)."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
from typing import no_type_check

import triton
import triton.language as tl

from reformer.ops.window_attention.dispatch import transforms

POLYNOMIAL = tl.constexpr(transforms.Polynomial.number)
MOST_COEFFICIENTS = tl.constexpr(transforms.MOST_COEFFICIENTS)
HELD = tl.constexpr(transforms.HELD)
TERMS = tl.constexpr(transforms.TERMS)


@triton.jit
@no_type_check
def _held(product):
    return tl.minimum(tl.maximum(product, -HELD), HELD)


@triton.jit
@no_type_check
def transformed(score, coefficients, count: tl.constexpr, transform: tl.constexpr):
    """The function of one head.

    Args:
        coefficients: those of the head, `count` of them. transform: which function, by its number.
    """
    if transform == POLYNOMIAL:
        total = tl.zeros_like(score)
        for back in tl.static_range(count):
            total = total * score + tl.load(coefficients + (count - 1 - back))
        found = score + score * total
    else:
        kappa = tl.load(coefficients)
        x = _held(score * kappa)
        squared = x * x
        # Below 1 the series, which loses no digit where kappa is nearly or exactly zero: each term of
        # `sinh(x) / x` is the one before times x^2 / (2 n (2 n + 1)).
        series = tl.zeros_like(x) + 1.0
        for back in tl.static_range(TERMS - 1):
            series = 1.0 + series * squared * (1.0 / ((2 * (TERMS - 1 - back)) * (2 * (TERMS - 1 - back) + 1)))
        far = (tl.exp(x) - tl.exp(-x)) * (0.5 / tl.where(kappa == 0, 1.0, kappa))
        found = tl.where(squared < 1, score * series, far)
    return found


@triton.jit
@no_type_check
def pulled_back(score, grad, sums, coefficients, count: tl.constexpr, transform: tl.constexpr):
    """The gradient of scores from that of transformed ones, and `sums`, `[MOST_COEFFICIENTS]`, with what this block
    adds to the coefficients' own. Where the gradient is zero, scores may be anything."""
    lane = tl.arange(0, MOST_COEFFICIENTS)
    score = tl.where(grad == 0, 0.0, score)
    if transform == POLYNOMIAL:
        power = tl.zeros_like(score) + 1.0
        slope = power
        for degree in tl.static_range(count):
            slope += power * (tl.load(coefficients + degree) * (degree + 1.0))
            power *= score
            sums += tl.where(lane == degree, tl.sum(grad * power), 0.0)
        found = grad * slope
    else:
        kappa = tl.load(coefficients)
        product = score * kappa
        x = _held(product)
        squared = x * x
        inside = tl.where(x == product, grad, 0.0)
        up, down = tl.exp(x), tl.exp(-x)
        cosh = (up + down) * 0.5
        # By kappa: s^2 (cosh x - sinh x / x) / x, whose terms below 1 are x^2 / (2 n (2 n + 3)) times the ones before.
        series = tl.zeros_like(x) + 1.0
        for back in tl.static_range(TERMS - 1):
            series = 1.0 + series * squared * (1.0 / ((2 * (TERMS - 1 - back)) * (2 * (TERMS - 1 - back) + 3)))
        safe = tl.where(squared < 1, 1.0, x)
        far = (cosh - (up - down) * 0.5 / safe) / safe
        bend = tl.where(squared < 1, x * series * (1.0 / 3.0), far)
        sums += tl.where(lane == 0, tl.sum(inside * score * score * bend), 0.0)
        found = inside * cosh
    return found, sums


@triton.jit
@no_type_check
def add_up(sums, into, count: tl.constexpr):
    """Store what one program found for the coefficients."""
    lane = tl.arange(0, MOST_COEFFICIENTS)
    tl.store(into + lane, sums, mask=lane < count)
