"""Cross entropy of the logits of a linear layer, which are never held all at once (`docs/math.md`, 39)."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
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
        needed = [each is not None and each.requires_grad for each in (hidden, weight, bias)]
        needed = [each and torch.is_grad_enabled() for each in needed]
        total, *_ = _summed(hidden, weight, bias, target, ignore_index, label_smoothing, needed)
    if reduction == "sum":
        return total
    return total / (target != ignore_index).sum().clamp_min(1)


# One operator, so that a compiled graph has no loop whose length depends on the number of tokens.
@torch.library.custom_op(
    "reformer::linear_cross_entropy",
    mutates_args=(),
    schema="(Tensor hidden, Tensor weight, Tensor? bias, Tensor target, int ignore_index, float label_smoothing, "
    "bool[] needed) -> (Tensor, Tensor, Tensor, Tensor)",
)
def _summed(
    hidden: Float[Tensor, "tokens features"],
    weight: Float[Tensor, "classes features"],
    bias: Float[Tensor, " classes"] | None,
    target: Int[Tensor, " tokens"],
    ignore_index: int,
    label_smoothing: float,
    needed: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The sum of the losses, and its gradients by hidden, weight and bias where they are needed, else without an
    element; those of weight and bias in float32 at least."""
    total, grad_hidden, grad_weight, grad_bias = _outputs(hidden, weight, bias, needed)
    for each in (total, grad_weight, grad_bias):
        each.zero_()
    of_hidden, of_weight, of_bias = needed
    rows = max(1, LOGITS_AT_ONCE // weight.shape[0])
    for begin in range(0, len(hidden), rows):
        part, labels = hidden[begin : begin + rows], target[begin : begin + rows]
        logits = torch.nn.functional.linear(part, weight, bias).to(total.dtype)
        total += cross_entropy(
            logits, labels, ignore_index=ignore_index, label_smoothing=label_smoothing, reduction="sum"
        )
        if not any(needed):
            continue
        gradient = _gradient(logits, labels, ignore_index, label_smoothing)
        if of_bias:
            grad_bias += gradient.sum(0)
        gradient = gradient.to(hidden.dtype)
        if of_hidden:
            torch.mm(gradient, weight, out=grad_hidden[begin : begin + rows])
        if of_weight:
            grad_weight += gradient.T @ part
    return total, grad_hidden, grad_weight, grad_bias


@_summed.register_fake
def _outputs(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, *others: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    exact = torch.promote_types(hidden.dtype, torch.float32)
    of_hidden, of_weight, of_bias = others[-1]
    return (
        hidden.new_empty((), dtype=exact),
        hidden.new_empty(hidden.shape if of_hidden else 0),
        weight.new_empty(weight.shape if of_weight else 0, dtype=exact),
        hidden.new_empty(weight.shape[0] if of_bias else 0, dtype=exact),
    )


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    _, weight, bias, *_, needed = inputs
    ctx.save_for_backward(*output[1:])
    ctx.needed, ctx.dtypes = needed, (weight.dtype, None if bias is None else bias.dtype)


def _backward(ctx: Any, grad_total: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    of_weight, of_bias = ctx.dtypes
    grad_hidden, grad_weight, grad_bias = (
        gradient * grad_total.to(gradient.dtype) if needed else None
        for gradient, needed in zip(ctx.saved_tensors, ctx.needed, strict=True)
    )
    return (
        grad_hidden,
        None if grad_weight is None else grad_weight.to(of_weight),
        None if grad_bias is None else grad_bias.to(of_bias),
        None,
        None,
        None,
        None,
    )


_summed.register_autograd(_backward, setup_context=_keep)


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
