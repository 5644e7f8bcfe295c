"""Covariates of a series as vectors: numbers as they are, categories embedded."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

MAX_WIDTH = 50
MISSING = 0
"""The category of a cell that is empty."""


class CovariateFeatures(nn.Module):
    """Numbers and categories that are known of a step, or of a series, as one vector.

    A number that is NaN is not known: it becomes 0, and a flag beside each number says which of them are. A category is
    a row of a learned table of about half as many columns as there are categories, at most 50 (GluonTS has this rule);
    category 0 means that the cell is empty, and is a row of zeros.

    Args:
        numbers: how many numbers there are.
        cardinalities: of each column of categories, how many it has, category 0 included.
    """

    def __init__(self, numbers: int, cardinalities: Sequence[int]) -> None:
        super().__init__()
        self.tables = nn.ModuleList(
            nn.Embedding(count, min(MAX_WIDTH, (count + 1) // 2), padding_idx=MISSING) for count in cardinalities
        )
        self.width = 2 * numbers + sum(min(MAX_WIDTH, (count + 1) // 2) for count in cardinalities)
        """Of the vector."""

    def reset(self) -> None:
        """Rows as large as standardised numbers are, so that neither kind of covariate is learned after the other."""
        for table in self.tables:
            nn.init.normal_(table.weight)  # pyright: ignore[reportArgumentType]
            nn.init.zeros_(table.weight[MISSING])  # pyright: ignore[reportIndexIssue, reportArgumentType]

    def forward(
        self, numbers: Float[Tensor, "*places numbers"] | None, categories: Int[Tensor, "*places columns"] | None
    ) -> Float[Tensor, "*places width"]:
        """The vectors; None stands for no columns of a kind."""
        parts = []
        if numbers is not None:
            known = numbers.isfinite()
            parts += [numbers.where(known, 0), known.to(numbers.dtype)]
        if categories is not None:
            parts += [table(column) for table, column in zip(self.tables, categories.unbind(-1), strict=True)]
        return torch.cat([part.to(parts[0].dtype) for part in parts], -1)
