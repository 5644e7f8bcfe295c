"""The contract of the kernels: values and gradients as the definition says, with every option of the operation."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from reformer.ops import (
    Polynomial,
    Sinh,
    hash_query_slots,
    hash_slots,
    position_slots,
    random_rotations,
    shared_window_attention,
    unit_vectors,
    window_attention,
)

BOUNDS = {torch.float32: 1e-4, torch.bfloat16: 8e-2, torch.float16: 2e-2}
"""The greatest error of output and gradients from the definition in float64, relative above 1."""

LEARNED = {"polynomial": (Polynomial, [0.05, -0.02]), "sinh": (Sinh, [0.3])}


@dataclass(frozen=True)
class Call:
    """One call of the operation.

    Args:
        kind: whose slots: "shared" queries and keys, "separate" ones of one sequence, or "apart", of two.
        orderings: how many hash rounds; `position` adds that ordering.
    """

    kind: str
    length: int
    heads: int = 2
    head_dim: int = 64
    rounds: int = 1
    position: bool = False
    padding: bool = False
    transform: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [
            self.kind,
            f"{self.length} tokens",
            f"heads of {self.head_dim}",
            "1 round" if self.rounds == 1 else f"{self.rounds} rounds",
        ]
        parts += ["position"] * self.position + ["padding"] * self.padding
        parts += [] if self.transform is None else [self.transform]
        return ", ".join([*parts, *(f"{name}={value}" for name, value in self.options.items())])


def calls(length: int, head_dim: int = 64) -> Iterator[Call]:
    """Every option once at least, alone or with others."""
    causal, both_sides = {"window": 64, "causal": True}, {"window": 17}
    yield Call("shared", length, head_dim=head_dim, options=causal)
    yield Call("shared", length, head_dim=head_dim, rounds=2, position=True, padding=True, options=causal)
    yield Call("shared", length, head_dim=head_dim, rounds=2, options=both_sides | {"deduplicate": False})
    yield Call("shared", length, head_dim=head_dim, options=both_sides | {"attend_self": True, "scale": 0.3})
    yield Call("separate", length, head_dim=head_dim, rounds=2, padding=True, options=causal)
    yield Call("separate", length, head_dim=head_dim, position=True, options=both_sides)
    yield Call("apart", length, head_dim=head_dim, padding=True, options=both_sides)
    yield Call("shared", length, head_dim=head_dim, transform="polynomial", options=causal)
    yield Call("separate", length, head_dim=head_dim, rounds=2, transform="sinh", options=causal)
    yield Call("shared", length, head_dim=head_dim // 2 + 8, options=causal | {"window": length})


def error(call: Call, dtype: torch.dtype, device: str) -> float:
    """The greatest error of the kernels from the definition, over the output and every gradient."""
    torch.manual_seed(0)
    tensors = [torch.randn(2, call.heads, call.length, call.head_dim, device=device).to(dtype) for _ in range(3)]
    if call.kind == "apart":
        tensors[0] = tensors[0][:, :, : call.length // 2 + 3].contiguous()
    coefficients = None
    if call.transform is not None:
        coefficients = torch.tensor([LEARNED[call.transform][1]] * call.heads, device=device)
    slots = _slots(call, tensors[0], tensors[1], device)
    found = _run(call, tensors, coefficients, slots, "triton")
    exact = [tensor.double() for tensor in tensors]
    wanted = _run(call, exact, None if coefficients is None else coefficients.double(), slots, "reference")
    pairs = zip(found, wanted, strict=True)
    return max(float(((a.double() - b).abs() / (1 + b.abs())).max()) for a, b in pairs)


def _slots(call: Call, query: Tensor, key: Tensor, device: str) -> tuple[Tensor, Tensor | None]:
    """By the kernels, whose slots are compared with those of plain PyTorch by the tests."""
    mask = None
    if call.padding:
        real = torch.tensor([[call.length], [call.length - 9]], device=device)
        mask = torch.arange(call.length, device=device) < real
    rotations = random_rotations(call.heads, call.rounds, call.head_dim, 8, device=device)
    keys = query if call.kind == "shared" else key
    slots = hash_slots(keys, rotations, mask)
    if call.kind == "apart":
        return hash_query_slots(query, key, rotations, mask, aligned=False), slots
    placed = slots
    if call.kind == "separate":
        placed = hash_query_slots(query, key, rotations, mask, causal=call.options.get("causal", False))
    if not call.position:
        return placed, None if call.kind == "shared" else slots
    real = torch.ones(2, call.length, dtype=torch.bool, device=device) if mask is None else mask
    place = position_slots(real).expand(2, call.heads, 1, call.length)
    return torch.cat((placed, place), 2), None if call.kind == "shared" else torch.cat((slots, place), 2)


def _run(
    call: Call, tensors: list[Tensor], coefficients: Tensor | None, slots: tuple[Tensor, Tensor | None], backend: str
) -> list[Tensor]:
    query, key, value = (tensor.detach().requires_grad_() for tensor in tensors)
    learned = [] if coefficients is None else [coefficients.detach().requires_grad_()]
    options: dict[str, Any] = call.options | {"backend": backend}
    if call.transform is not None:
        options["transform"] = LEARNED[call.transform][0](learned[0])
    if call.kind == "shared":
        inputs = [query, value, *learned]
        if backend == "reference":
            options = {"attend_self": False} | options
            output = window_attention(query, unit_vectors(query), value, slots[0], **options)
        else:
            output = shared_window_attention(query, value, slots[0], **options)
    else:
        inputs = [query, key, value, *learned]
        output = window_attention(query, key, value, slots[0], slots[1], **options)
    # Drawn on the processor, so that a default device changes nothing.
    generator = torch.Generator("cpu").manual_seed(1)
    grad = torch.randn(output.shape, generator=generator, dtype=torch.float64, device="cpu")
    grad = grad.to(output.device, output.dtype)
    gradients = torch.autograd.grad(output, inputs, grad)
    plain = gradients[: len(inputs) - len(learned)]
    # A coefficient's gradient is a sum over all pairs: as exact as it is large.
    of_learned = [gradient / gradient.abs().max() for gradient in gradients[len(plain) :]]
    return [output.detach(), *plain, *of_learned]
