"""Cross entropy of the logits of a linear layer, which are never held all at once (`docs/math.md`, 39)."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import cross_entropy

LOGITS_AT_ONCE = 1 << 22
"""Logits that are held at a time: 16 MiB in float32."""


def linear_cross_entropy(
    hidden: Float[Tensor, "tokens features"],
    weight: Float[Tensor, "classes features"],
    target: Int[Tensor, " tokens"],
    bias: Float[Tensor, " classes"] | None = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Float[Tensor, ""]:
    """`cross_entropy(hidden @ weight.T + bias, target)`, a few tokens at a time.

    The gradients of hidden, weight and bias are computed in the same pass, so memory grows with `tokens x features`,
    and not with `tokens x classes`. The loss is summed in float32 at least.

    Args:
        hidden: float32, float64, bfloat16 or float16.
        target: the class of each token, or `ignore_index`.
        label_smoothing: part of the target that is spread over all classes, 0 to 1.
        reduction: "mean" over the tokens that are not ignored (0 if there are none), or "sum".

    Raises:
        ValueError: shapes that do not fit, a target that is no class, or an unknown reduction.

    Example:
        >>> hidden, weight = torch.randn(5, 8), torch.randn(3, 8)
        >>> linear_cross_entropy(hidden, weight, torch.tensor([0, 2, 1, -100, 0])).shape
        torch.Size([])
    """
    if hidden.dim() != 2 or target.shape != hidden.shape[:1] or weight.shape[1:] != hidden.shape[1:]:
        raise ValueError(
            f"hidden {tuple(hidden.shape)}, weight {tuple(weight.shape)}, target {tuple(target.shape)}: expected "
            "[tokens, features], [classes, features] and [tokens]"
        )
    if not len(weight):
        raise ValueError("weight has no classes; expected at least one")
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction={reduction!r}: expected 'mean' or 'sum'")
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        hidden, weight, bias = hidden.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    with torch.autocast(device, enabled=False):
        total = _LinearCrossEntropy.apply(hidden, weight, bias, target, ignore_index, label_smoothing)
    if reduction == "sum":
        return total  # pyright: ignore[reportReturnType]
    return total / (target != ignore_index).sum().clamp_min(1)  # pyright: ignore[reportOperatorIssue]


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Float[Tensor, "tokens features"],
        weight: Float[Tensor, "classes features"],
        bias: Float[Tensor, " classes"] | None,
        target: Int[Tensor, " tokens"],
        ignore_index: int,
        label_smoothing: float,
    ) -> Float[Tensor, ""]:
        of_hidden, of_weight, of_bias = ctx.needs_input_grad[:3]
        exact = torch.promote_types(hidden.dtype, torch.float32)
        total = torch.zeros((), dtype=exact, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if of_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=exact) if of_weight else None
        grad_bias = torch.zeros_like(bias, dtype=exact) if of_bias and bias is not None else None
        rows = max(1, LOGITS_AT_ONCE // weight.shape[0])
        for begin in range(0, len(hidden), rows):
            part, labels = hidden[begin : begin + rows], target[begin : begin + rows]
            logits = torch.nn.functional.linear(part, weight, bias).to(exact)
            total += cross_entropy(
                logits, labels, ignore_index=ignore_index, label_smoothing=label_smoothing, reduction="sum"
            )
            if not (of_hidden or of_weight or of_bias):
                continue
            gradient = _gradient(logits, labels, ignore_index, label_smoothing)
            if grad_bias is not None:
                grad_bias += gradient.sum(0)
            gradient = gradient.to(hidden.dtype)
            if grad_hidden is not None:
                torch.mm(gradient, weight, out=grad_hidden[begin : begin + rows])
            if grad_weight is not None:
                grad_weight += gradient.T @ part
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        ctx.dtypes = weight.dtype, None if bias is None else bias.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_total: Float[Tensor, ""]) -> tuple[Tensor | None, ...]:
        of_weight, of_bias = ctx.dtypes
        grad_hidden, grad_weight, grad_bias = (
            None if gradient is None else gradient * grad_total.to(gradient.dtype) for gradient in ctx.saved_tensors
        )
        return (
            grad_hidden,
            None if grad_weight is None else grad_weight.to(of_weight),
            None if grad_bias is None else grad_bias.to(of_bias),
            None,
            None,
            None,
        )


def _gradient(
    logits: Float[Tensor, "tokens classes"], target: Int[Tensor, " tokens"], ignore_index: int, label_smoothing: float
) -> Float[Tensor, "tokens classes"]:
    """The gradient of the summed loss by its logits: `softmax - target`; zero for ignored tokens."""
    ignored = target == ignore_index
    gradient = logits.softmax(-1)
    if label_smoothing:
        gradient -= label_smoothing / logits.shape[-1]
    classes = target.masked_fill(ignored, 0)[:, None]
    gradient.scatter_add_(-1, classes, gradient.new_full((len(target), 1), label_smoothing - 1))
    return gradient.masked_fill_(ignored[:, None], 0)
