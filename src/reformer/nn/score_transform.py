"""Learned transform of the scores of each head."""

import torch
from torch import nn

from reformer.nn.sequence_part import HeadShare
from reformer.ops import Polynomial, Sinh
from reformer.ops.window_attention import ScoreTransform

FIRST_KAPPA = 1e-3
"""Start of `sinh`, near the identity. At exactly zero its gradient is zero, and it would stay there."""


class LearnedTransform(nn.Module):
    """A function of the scores of each head that starts as the identity (`docs/math.md`, equation 9).

    Args:
        kind: "polynomial", `s + c_1 s + c_2 s^2 + ...`, or "sinh", `sinh(kappa s) / kappa`.
        heads: how many heads.
        order: the highest power of a polynomial.
    """

    def __init__(self, kind: str, heads: int, order: int) -> None:
        super().__init__()
        self.of_kind = Polynomial if kind == "polynomial" else Sinh
        self.first = 0.0 if kind == "polynomial" else FIRST_KAPPA
        self.coefficients = nn.Parameter(torch.full((heads, order if kind == "polynomial" else 1), self.first))

    def reset(self) -> None:
        """Go back to the identity."""
        self.coefficients.fill_(self.first)

    def forward(self, share: HeadShare | None = None) -> ScoreTransform:
        """The function of all heads, or of those of a share."""
        if share is None or share.heads == len(self.coefficients):
            return self.of_kind(self.coefficients)
        return self.of_kind(self.coefficients[share.first : share.first + share.heads])
