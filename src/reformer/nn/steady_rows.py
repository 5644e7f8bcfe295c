"""Linear map of a few rows, each of which is computed as among many."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

FEWEST = 16
"""Rows from which the products of a row are summed in one order, however many there are: with fewer, Intel's library on
the CPU takes another for some numbers of them."""


def steady_rows(linear: nn.Module, rows: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows size"]:
    """`linear(rows)` of a linear map, or of what an adapter has put in its place; in evaluation a row's result is the
    same bit for bit with any number of others beside it."""
    if linear.training:
        return linear(rows)
    return linear(pad(rows, (0, 0, 0, FEWEST - 1)))[..., : 1 - FEWEST, :]
