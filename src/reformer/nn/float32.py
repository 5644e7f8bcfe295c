"""Modules run in float32, whatever their weights' precision and autocast say."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from reformer.ops.autocast import without_autocast

HALVES = (torch.bfloat16, torch.float16)
"""Dtypes whose rounding moves one vector in some tens into another bucket."""


@torch.no_grad()
def in_float32(module: nn.Module, hidden: Float[Tensor, "*any channels"]) -> Float[Tensor, "*any others"]:
    """What a module gives in float32 at least; no gradient.

    Args:
        module: a linear map or a norm, or what an adapter has put in its place.
        hidden: its input.

    Example:
        >>> in_float32(nn.Linear(2, 3).bfloat16(), torch.ones(4, 2)).dtype
        torch.float32
    """
    with without_autocast(hidden.device.type):
        wide = hidden.float() if hidden.dtype in HALVES else hidden
        rounded = {name: weight.float() for name, weight in module.named_parameters() if weight.dtype in HALVES}
        return functional_call(module, rounded, (wide,)) if rounded else module(wide)
