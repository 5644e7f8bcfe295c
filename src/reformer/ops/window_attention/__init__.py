"""Window attention: one definition and the backends that compute it."""

from reformer.ops.window_attention.dispatch import (
    BACKENDS,
    MAX_WINDOW,
    REFUSALS,
    shared_window_attention,
    using_backend,
    window_attention,
)
from reformer.ops.window_attention.transforms import MOST_COEFFICIENTS, Polynomial, ScoreTransform, Sinh

__all__ = [
    "BACKENDS",
    "MAX_WINDOW",
    "MOST_COEFFICIENTS",
    "REFUSALS",
    "Polynomial",
    "ScoreTransform",
    "Sinh",
    "shared_window_attention",
    "using_backend",
    "window_attention",
]
