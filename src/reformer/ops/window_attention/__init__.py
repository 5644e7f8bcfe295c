"""Window attention: one definition, four backends."""

from reformer.ops.window_attention.dispatch import BACKENDS, REFUSALS, WIDEST, shared_window_attention, window_attention
from reformer.ops.window_attention.transforms import MOST_COEFFICIENTS, Polynomial, ScoreTransform, Sinh

__all__ = [
    "BACKENDS",
    "MOST_COEFFICIENTS",
    "REFUSALS",
    "WIDEST",
    "Polynomial",
    "ScoreTransform",
    "Sinh",
    "shared_window_attention",
    "window_attention",
]
