"""Score transforms of a block of scores, and their gradients (`docs/math.md`, 9)."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
from typing import no_type_check

import triton
import triton.language as tl

from reformer.ops.window_attention import transforms

POLYNOMIAL = tl.constexpr(transforms.Polynomial.number)
MOST_COEFFICIENTS = tl.constexpr(transforms.MOST_COEFFICIENTS)
SINH_CLAMP = tl.constexpr(transforms.SINH_CLAMP)
TERMS = tl.constexpr(transforms.TERMS)


@triton.jit
@no_type_check
def _clamped(product):
    return tl.minimum(tl.maximum(product, -SINH_CLAMP), SINH_CLAMP)


@triton.jit
@no_type_check
def transformed(score, coefficients, count: tl.constexpr, transform: tl.constexpr):
    """The transformed scores of one head.

    Args:
        coefficients: the `count` coefficients of the head. transform: the number of the function.
    """
    if transform == POLYNOMIAL:
        total = tl.zeros_like(score)
        for back in tl.static_range(count):
            total = total * score + tl.load(coefficients + (count - 1 - back))
        result = score + score * total
    else:
        kappa = tl.load(coefficients)
        x = _clamped(score * kappa)
        squared = x * x
        # Below 1, `sinh(x) / kappa` loses digits to cancellation, and at a kappa of zero it is 0 / 0. Each term of the
        # series of `sinh(x) / x` is the one before times x^2 / (2 n (2 n + 1)).
        series = tl.zeros_like(x) + 1.0
        for back in tl.static_range(TERMS - 1):
            series = 1.0 + series * squared * (1.0 / ((2 * (TERMS - 1 - back)) * (2 * (TERMS - 1 - back) + 1)))
        far = (tl.exp(x) - tl.exp(-x)) * (0.5 / tl.where(kappa == 0, 1.0, kappa))
        result = tl.where(squared < 1, score * series, far)
    return result


@triton.jit
@no_type_check
def pulled_back(score, grad, sums, coefficients, count: tl.constexpr, transform: tl.constexpr):
    """The gradient of scores from that of transformed scores, and `sums`, `[MOST_COEFFICIENTS]`, plus this block's part
    in the gradient of the coefficients. Where the gradient is zero, as of masked pairs, scores may be NaN."""
    lane = tl.arange(0, MOST_COEFFICIENTS)
    score = tl.where(grad == 0, 0.0, score)
    if transform == POLYNOMIAL:
        power = tl.zeros_like(score) + 1.0
        slope = power
        for degree in tl.static_range(count):
            slope += power * (tl.load(coefficients + degree) * (degree + 1.0))
            power *= score
            sums += tl.where(lane == degree, tl.sum(grad * power), 0.0)
        result = grad * slope
    else:
        kappa = tl.load(coefficients)
        product = score * kappa
        x = _clamped(product)
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
        result = inside * cosh
    return result, sums


@triton.jit
@no_type_check
def add_up(sums, into, count: tl.constexpr):
    """Store one program's part in the gradient of the coefficients."""
    lane = tl.arange(0, MOST_COEFFICIENTS)
    tl.store(into + lane, sums, mask=lane < count)
