"""Random calls of `window_attention`, the backends to be tested, and their comparison with the definition."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from reformer.ops import hash_query_slots, hash_slots, position_slots, random_rotations, window_attention
from reformer.ops.window_attention import BACKENDS, REFUSALS

_QUERY = torch.empty(1, 1, 1, 1)
MISSING = {name: reason(_QUERY, _QUERY) for name, reason in REFUSALS.items()}
"""Why a backend cannot be tried on the tensors of these tests; they run on any machine."""

FAST = [
    pytest.param(name, marks=pytest.mark.skipif(MISSING[name] is not None, reason=str(MISSING[name])))
    for name in BACKENDS
    if name != "reference"
]
ALL = [*FAST, "reference"]


@dataclass(frozen=True)
class Case:
    """Tensors and options of one call."""

    query: Tensor
    key: Tensor
    value: Tensor
    query_slots: Tensor
    key_slots: Tensor | None
    options: dict[str, Any] = field(default_factory=dict)

    def to(self, dtype: torch.dtype) -> "Case":
        return replace(self, **{name: getattr(self, name).to(dtype).detach() for name in ("query", "key", "value")})

    def run(self, backend: str) -> tuple[Tensor, ...]:
        """The output, and the gradients of query, key and value for one fixed gradient of the output."""
        vectors = [tensor.detach().requires_grad_() for tensor in (self.query, self.key, self.value)]
        output = window_attention(*vectors, self.query_slots, self.key_slots, **self.options, backend=backend)
        weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        gradients = torch.autograd.grad(output, vectors, weights.to(output.dtype))
        return output.detach(), *gradients


def vectors(batch: int, heads: int, length: int, head_dim: int, layout: str = "heads first") -> Tensor:
    """Normal vectors `[batch, heads, length, head_dim]` in one of the layouts that layers produce."""
    if layout == "length first":
        return torch.randn(batch, length, heads, head_dim, dtype=torch.float64).transpose(1, 2)
    if layout == "part of a projection":
        return torch.randn(batch, length, heads, 3 * head_dim, dtype=torch.float64)[..., :head_dim].transpose(1, 2)
    if layout == "head_dim first":
        return torch.randn(batch, heads, head_dim, length, dtype=torch.float64).transpose(2, 3)
    return torch.randn(batch, heads, length, head_dim, dtype=torch.float64)


LAYOUTS = ("heads first", "length first", "part of a projection", "head_dim first")


ANY = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**16),
        "batch": st.integers(1, 2),
        "heads": st.integers(1, 3),
        "head_dim": st.sampled_from([1, 3, 8, 16, 24, 64, 80]),
        "length": st.one_of(st.integers(1, 60), st.integers(60, 260)),
        "queries": st.integers(1, 120),
        "present": st.sampled_from([0.0, 0.2, 0.8, 1.0]),
        "layouts": st.tuples(*[st.sampled_from(LAYOUTS)] * 3),
        "kind": st.sampled_from(["shared", "shared+position", "copied", "aligned", "apart", "scattered"]),
        "gaps": st.sampled_from([1, 3, 1 << 42]),
        "rounds": st.integers(1, 3),
        "buckets": st.sampled_from([2, 6, [4, 2]]),
        "windows": st.lists(st.sampled_from([1, 2, 5, 16, 33, 100, 1000]), min_size=4, max_size=4),
        "causal": st.booleans(),
        "attend_self": st.booleans(),
        "deduplicate": st.booleans(),
        "scale": st.sampled_from([None, 0.1]),
    }
)
"""What `make_case` makes a small call of, any that the op's signature allows."""

FEW = ANY.map(
    lambda any_: {
        **any_,
        "heads": min(2, any_["heads"]),
        "length": 1 + any_["length"] % 80,
        "queries": 1 + any_["queries"] % 40,
    }
)
"""The same at sizes that an interpreter walks in seconds."""


def make_case(any_: dict[str, Any]) -> Case:
    torch.manual_seed(any_["seed"])
    batch, heads, length, head_dim, kind = (any_[x] for x in ("batch", "heads", "length", "head_dim", "kind"))
    query, key, value = (vectors(batch, heads, length, head_dim, layout) for layout in any_["layouts"])
    mask = torch.rand(batch, length) < any_["present"]
    rotations = random_rotations(heads, any_["rounds"], head_dim, any_["buckets"])
    slots = hash_slots(key, rotations, mask)
    query_slots, key_slots = slots, None
    if kind == "shared+position":
        query_slots = torch.cat((slots, position_slots(mask).expand(batch, heads, 1, length)), 2)
    elif kind == "copied":
        key_slots = slots.clone()
    elif kind == "aligned":
        key_slots = slots
        query_slots = hash_query_slots(query, key, rotations, mask, causal=any_["causal"])
    elif kind == "apart":
        key_slots = slots
        query = vectors(batch, heads, any_["queries"], head_dim)
        query_slots = hash_query_slots(query, key, rotations, mask, aligned=False)
    elif kind == "scattered":
        # Slots that no ordering of ours makes: one row for the whole batch, with gaps.
        query_slots = torch.randperm(length)[None, None, None] * any_["gaps"]
    options = {
        "window": any_["windows"][: query_slots.shape[2]],
        "causal": any_["causal"],
        "attend_self": any_["attend_self"],
        "deduplicate": any_["deduplicate"],
        "scale": any_["scale"],
    }
    return Case(query, key, value, query_slots, key_slots, options)


def far_apart(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> float:
    """The largest difference, relative to values above 1."""
    return max(
        float(((a.double() - b.double()).abs() / (1 + b.double().abs())).max()) if a.numel() else 0.0
        for a, b in zip(found, expected, strict=True)
    )
