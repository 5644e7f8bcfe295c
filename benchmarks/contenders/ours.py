"""Our window attention over hash orderings, hashing and ordering included."""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.case import NO_LIMIT, Action, Contender
from benchmarks.contenders.vectors import (
    CHECK_LENGTH,
    HEAD_DIM,
    HEADS,
    WINDOW,
    bucket_number,
    core_actions,
    error_from,
    finite_and_causal,
    random_leaves,
    short_name,
)
from reformer.ops import bucket_slots, hash_buckets, hash_slots, native, random_rotations, shared_window_attention
from reformer.ops.orderings import BUCKET_STRIDE

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 3e-2}
"""The greatest error from the definition in float64, as a part of its greatest number."""


def ours(
    name: str,
    *,
    rounds: int,
    heads: int = HEADS,
    backend: str = "cpu",
    dtype: torch.dtype = torch.float32,
    actions: Callable[["Hashed"], dict[str, Action]] | None = None,
    longest: int | dict[str, int] = NO_LIMIT,
) -> Contender:
    """A contender; `actions` makes others than the two of a core from it. The backend "eager" has what a machine
    without a compiler has: hashing and ordering in plain PyTorch too."""

    def hashed(length: int) -> Hashed:
        return Hashed(length, heads, rounds, backend, dtype)

    return Contender(
        name,
        backend if backend == "eager" else "ours",
        lambda length: (actions or Hashed.actions)(hashed(length)),
        lambda: hashed(CHECK_LENGTH).check(),
        {"rounds": rounds, "heads": heads, "dtype": short_name(dtype), "backend": backend},
        longest,
        {native.CHOICE: "none"} if backend == "eager" else {},
    )


class Hashed:
    """Our attention as a hashed layer with shared queries and keys runs it between its projections."""

    def __init__(self, length: int, heads: int, rounds: int, backend: str, dtype: torch.dtype) -> None:
        # As projections leave them: heads beside each other in a token's row.
        self.leaves = random_leaves(1, length, heads * HEAD_DIM, dtype=dtype)
        self.length, self.heads, self.rounds, self.backend, self.dtype = length, heads, rounds, backend, dtype

    def rotations(self) -> tuple[Tensor, ...]:
        device = self.leaves[0].device
        return random_rotations(self.heads, self.rounds, HEAD_DIM, bucket_number(self.length), device=device)

    def split(self, rows: Tensor) -> Tensor:
        return rows.unflatten(-1, (self.heads, HEAD_DIM)).transpose(1, 2)

    def core(self, query_key: Tensor, value: Tensor) -> Tensor:
        """Draw rotations, hash, order, attend."""
        query = self.split(query_key)
        slots = hash_slots(query, self.rotations())
        return self.attend(query, self.split(value), slots).transpose(1, 2).flatten(2)

    def attend(self, query: Tensor, value: Tensor, slots: Tensor, backend: str | None = None) -> Tensor:
        backend = backend or self.backend
        return shared_window_attention(query, value, slots, window=WINDOW, causal=True, scale=1.0, backend=backend)

    def actions(self) -> dict[str, Action]:
        return core_actions(self.core, self.leaves)

    def check(self) -> str:
        """Values and gradients against the definition in float64; then causality."""
        query, value = (self.split(leaf.detach()) for leaf in self.leaves)
        slots = hash_slots(query, self.rotations())
        error = error_from(
            lambda query, value: self.attend(query, value, slots),
            lambda query, value: self.attend(query, value, slots, backend="reference"),
            (query, value),
            TOLERANCE[self.dtype],
        )
        return f"{error}; {finite_and_causal(self.core, self.leaves, must_be_causal=True)}"


def parts(hashed: Hashed) -> dict[str, Action]:
    """The steps of `Hashed.core` one by one, and the backward pass of the attention alone."""
    query, value = (hashed.split(leaf.detach()) for leaf in hashed.leaves)
    rotations = hashed.rotations()
    buckets = hash_buckets(query, rotations)
    slots = bucket_slots(buckets)
    forward = products(slots)
    leaves = [tensor.detach().requires_grad_() for tensor in (query, value)]
    grad = torch.randn_like(query)

    def attended() -> Tensor:
        return hashed.attend(leaves[0], leaves[1], slots)

    def attend(_: None) -> None:
        with torch.no_grad():
            hashed.attend(query, value, slots)

    return {
        "hash": Action(lambda _: _ignore(hash_buckets(query, rotations))),
        "order": Action(lambda _: _ignore(bucket_slots(buckets))),
        "attend": Action(attend, facts=forward),
        "attend backward": Action(
            # The graph is kept because the action may be called again.
            lambda output: _ignore(torch.autograd.grad(output, leaves, grad, retain_graph=True)),
            attended,
            # Two products forward; five backward, of which the first is the forward's again.
            {name: count * 5 // 2 for name, count in forward.items()},
        ),
    }


def attend_only(hashed: Hashed) -> dict[str, Action]:
    """The whole forward pass, and the attention in it."""
    return {"forward": hashed.actions()["forward"], "attend": parts(hashed)["attend"]}


def products(slots: Tensor) -> dict[str, int]:
    """The floating point operations of the two forward products, counted from the slots in two ways.

    `flops`: in each row, sorted by slot, queries and keys are cut into blocks of 64; a block of queries with a block
    of keys counts whole where at least one pair in it is seen. `pair_flops`: the pairs that are seen alone.
    """
    in_order = slots.sort(-1).values
    starts, ends = in_order[..., WINDOW::WINDOW], in_order[..., WINDOW - 1 : -1 : WINDOW]
    # Sorted, two neighbouring blocks are nearest where they meet; blocks further apart are a window apart.
    blocks = in_order[..., ::WINDOW].numel() + int((starts - ends < WINDOW).sum())
    # Of earlier keys in the bucket; a token that has none sees itself.
    pairs = int((slots % BUCKET_STRIDE).clamp(1, WINDOW - 1).sum())
    return {"flops": blocks * 4 * WINDOW * WINDOW * HEAD_DIM, "pair_flops": pairs * 4 * HEAD_DIM}


def _ignore(_: object) -> None:
    return None
