"""Comparison of a backend's window attention, forward and backward, with `reference.py`, on a small problem."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from reformer.ops.orderings import eager
from reformer.ops.orderings.rotations import random_rotations
from reformer.ops.orderings.slots import position_slots
from reformer.ops.window_attention import reference

BOUNDS = {torch.bfloat16: 8e-2, torch.float32: 1e-4}
"""Errors that rounding may cause in output and gradients, relative to values above 1, against the definition in float64
of the same inputs."""

LENGTH, HEADS, HEAD_DIM, WINDOW, BUCKETS = 200, 2, 64, 64, 8


def discrepancy(attend: Callable[..., Tensor], device: torch.device, length: int = LENGTH) -> str | None:
    """The difference of `attend`, called on `device`, from the definition on the CPU; None if there is none.

    Shared queries and keys in two orderings, position and hash, causal, in bfloat16 and float32.
    """
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(1, HEADS, length, HEAD_DIM, generator=generator) for _ in range(3)]
    rotations = random_rotations(HEADS, 1, HEAD_DIM, BUCKETS, generator)
    hashed = eager.bucket_slots(eager.hash_buckets(inputs[0], rotations), None, BUCKETS)
    by_position = position_slots(torch.ones(1, length, dtype=torch.bool)).expand(1, HEADS, 1, length)
    slots = torch.cat((by_position, hashed), 2)
    for dtype, bound in BOUNDS.items():
        rounded = [tensor.to(dtype) for tensor in inputs]
        expected = _with_gradients(reference.attend, [tensor.double() for tensor in rounded], slots)
        results = _with_gradients(attend, [tensor.to(device) for tensor in rounded], slots.to(device))
        for name, a, b in zip(("output", "gradient of queries", "gradient of values"), results, expected, strict=True):
            error = float(((a.cpu().double() - b).abs() / (1 + b.abs())).max())
            # `error > bound` would let NaN pass, which fails every comparison.
            if not error <= bound:
                kind = str(dtype).removeprefix("torch.")
                return f"in {kind} the {name} is {error:.1e} off, expected at most {bound:.0e}"
    return None


def _with_gradients(
    attend: Callable[..., Tensor],
    inputs: list[Float[Tensor, "1 heads length head_dim"]],
    slots: Int[Tensor, "1 heads orderings length"],
) -> list[Float[Tensor, "1 heads length head_dim"]]:
    """The output and the gradients of queries and values, for queries, values and the gradient of the output."""
    query, value, grad = (tensor.detach() for tensor in inputs)
    output = attend(
        query.requires_grad_(),
        None,
        value.requires_grad_(),
        slots,
        slots,
        windows=(WINDOW,) * slots.shape[2],
        causal=True,
        attend_self=False,
        deduplicate=True,
        scale=HEAD_DIM**-0.5,
    )
    return [output.detach(), *torch.autograd.grad(output, (query, value), grad)]
