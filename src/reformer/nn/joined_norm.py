"""Norm of residual streams side by side, which of a long sequence are never joined whole."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import grad
from torch.autograd.function import once_differentiable
from torch.func import functional_call

from reformer.nn.recomputation import autocast_now
from reformer.nn.token_parts import Sums, is_called_plainly, parts_of


def joined_norm(
    norm: nn.Module, streams: Sequence[Float[Tensor, "batch length hidden"]]
) -> Float[Tensor, "batch length streams"]:
    """`norm(cat(streams, -1))`.

    Of a long sequence only the streams are kept for the backward pass, which the stack that they come from keeps
    anyway, and their gradients are no views of one tensor as wide as all.

    Example:
        >>> streams = torch.randn(1, 3, 4), torch.randn(1, 3, 4)
        >>> joined_norm(nn.LayerNorm(8), streams).shape
        torch.Size([1, 3, 8])
    """
    parts = parts_of(streams[0]) if is_called_plainly(norm) else None
    if parts is None or len(streams) == 1:
        return norm(torch.cat(tuple(streams), -1))
    return _JoinedNorm.apply(norm, parts, len(streams), *streams, *norm.parameters())  # pyright: ignore


class _JoinedNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, norm: nn.Module, parts: list[slice], count: int, *tensors: Tensor) -> Tensor:
        ctx.norm, ctx.parts, ctx.count = norm, parts, count
        ctx.autocast = autocast_now(tensors[0].device)
        ctx.save_for_backward(*tensors)
        streams, output = tensors[:count], tensors[0].new_empty(0)
        for part in parts:
            made = norm(torch.cat([stream[:, part] for stream in streams], -1))
            if part.start == 0:
                output = made.new_empty(made.shape[0], streams[0].shape[1], made.shape[2])
            output[:, part] = made
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        streams, weights = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        names = [name for name, _ in ctx.norm.named_parameters()]
        # Those of the forward pass, since sharding puts others in their place.
        leaves = [weight.detach().requires_grad_() for weight in weights]
        of_streams, sums = [torch.empty_like(stream) for stream in streams], Sums(leaves)
        for part in ctx.parts:
            with torch.enable_grad(), torch.autocast(**ctx.autocast):
                given = [stream[:, part].detach().requires_grad_() for stream in streams]
                made = functional_call(ctx.norm, dict(zip(names, leaves, strict=True)), (torch.cat(given, -1),))
            found = grad([made], [*given, *leaves], [grad_output[:, part]])
            for of_stream, gradient in zip(of_streams, found, strict=False):
                of_stream[:, part] = gradient
            sums.add(found[len(given) :])
        return None, None, None, *of_streams, *sums.found
