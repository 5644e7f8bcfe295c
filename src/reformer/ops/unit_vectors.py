"""Unit vectors, as hashed keys are, and their gradient, in one pass over memory."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from reformer.ops import native, standard
from reformer.ops.strides import contiguous_rows

SHORTEST = 1e-3
"""The least divisor. Without it a zero vector becomes NaN, and the gradient of a short one is too large to learn from.
Queries and keys of a model are about a thousand times as long."""


def unit_vectors(
    vectors: Float[Tensor, "batch heads length head_dim"],
) -> Float[Tensor, "batch heads length head_dim"]:
    """Every vector divided by its length, or by `SHORTEST` if that is more: `torch.nn.functional.normalize`.

    On a CPU with compiled kernels, forward and backward take one pass each; plain PyTorch writes half a dozen temporary
    tensors, which cost more than hashed attention itself.

    Args:
        vectors: any floating dtype, which the result keeps; lengths are summed in float32 at least.

    Example:
        >>> unit_vectors(torch.tensor([[[[3.0, 4.0]]]])).tolist()
        [[[[0.6000000238418579, 0.800000011920929]]]]
    """
    if vectors.dim() != 4 or not vectors.is_floating_point():
        raise TypeError(
            f"vectors are {vectors.dtype} {tuple(vectors.shape)}, expected floats [batch, heads, length, head_dim]"
        )
    if native.why_unsupported(vectors) is None and not standard.is_wanted():
        return _forward(vectors)
    return torch.nn.functional.normalize(vectors, dim=-1, eps=SHORTEST).to(vectors.dtype)


def _call(
    vectors: Float[Tensor, "batch heads length head_dim"],
    units: Float[Tensor, "batch heads length head_dim"],
    grad_vectors: Float[Tensor, "batch heads length head_dim"] | None,
) -> None:
    batch, heads, length, dim = vectors.shape
    native.call(
        "reformer_unit_vectors",
        native.UnitCall(
            batch=batch,
            heads=heads,
            length=length,
            dim=dim,
            dtype=native.DTYPES[vectors.dtype],
            threads=torch.get_num_threads(),
            shortest=SHORTEST,
            vectors=native.ArrayArgument.of(vectors),
            units=native.ArrayArgument.of(units),
            grad_vectors=native.ArrayArgument() if grad_vectors is None else native.ArrayArgument.of(grad_vectors),
        ),
    )


@torch.library.custom_op("reformer::unit_vectors_cpu", mutates_args=(), schema="(Tensor vectors) -> Tensor")
def _forward(vectors: Float[Tensor, "batch heads length head_dim"]) -> Float[Tensor, "batch heads length head_dim"]:
    vectors = contiguous_rows(vectors)
    units = native.empty_like(vectors)
    _call(vectors, units, None)
    return units


@_forward.register_fake
def _(vectors: Tensor) -> Tensor:
    return torch.empty_like(contiguous_rows(vectors))


@torch.library.custom_op(
    "reformer::unit_vectors_cpu_backward", mutates_args=(), schema="(Tensor grad_units, Tensor vectors) -> Tensor"
)
def _backward(
    grad_units: Float[Tensor, "batch heads length head_dim"], vectors: Float[Tensor, "batch heads length head_dim"]
) -> Float[Tensor, "batch heads length head_dim"]:
    vectors, grad_units = contiguous_rows(vectors), contiguous_rows(grad_units)
    grad_vectors = native.empty_like(vectors)
    if grad_vectors.numel():
        _call(vectors, grad_units, grad_vectors)
    return grad_vectors


@_backward.register_fake
def _(grad_units: Tensor, vectors: Tensor) -> Tensor:
    return torch.empty_like(contiguous_rows(vectors))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, grad_units: Tensor) -> Tensor:
    return _backward(grad_units, *ctx.saved_tensors)


_forward.register_autograd(_differentiate, setup_context=_keep)
