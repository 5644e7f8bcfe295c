"""Softmax attention over the union of windows in several orderings: the checks, and the choice of a backend."""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from reformer.ops import gpu
from reformer.ops.unit_vectors import unit_vectors
from reformer.ops.window_attention.cpu import cpu
from reformer.ops.window_attention.cpu import refusal as cpu_refusal
from reformer.ops.window_attention.eager import eager
from reformer.ops.window_attention.reference import reference
from reformer.ops.window_attention.transforms import MOST_COEFFICIENTS, ScoreTransform, Sinh
from reformer.ops.window_attention.triton import refusal as triton_refusal
from reformer.ops.window_attention.triton import triton

BACKENDS: dict[str, Callable[..., Tensor]] = {"triton": triton, "cpu": cpu, "eager": eager, "reference": reference}
"""Every backend by name, fastest first."""

REFUSALS: dict[str, Callable[[Tensor, Tensor], str | None]] = {"triton": triton_refusal, "cpu": cpu_refusal}
"""Of the backends that cannot serve every call: why they cannot serve this query and key, or None if they can."""

WIDEST = 1 << 61
"""Wider windows are cut to this: no two slots are further apart, and twice as much still fits in 64 bits."""


def window_attention(
    query: Float[Tensor, "batch heads queries head_dim"],
    key: Float[Tensor, "batch heads length head_dim"],
    value: Float[Tensor, "batch heads length head_dim"],
    query_slots: Int[Tensor, "#batch #heads orderings queries"],
    key_slots: Int[Tensor, "#batch #heads orderings length"] | None = None,
    *,
    window: int | Sequence[int],
    causal: bool = False,
    attend_self: bool = True,
    deduplicate: bool = True,
    scale: float | None = None,
    transform: ScoreTransform | None = None,
    backend: str | None = None,
) -> Float[Tensor, "batch heads queries head_dim"]:
    """Ordinary softmax attention in which query `i` sees key `j` if they are near in at least one ordering.

    With slots `s_r` and window `w_r` in ordering `r`, near means `0 <= s_r(i) - s_r(j) < w_r` if `causal`, and
    `|s_r(i) - s_r(j)| < w_r` otherwise. The softmax runs over the union: a pair met in three orderings counts
    once (`docs/math.md`, equations 5 to 10). A query that sees nothing gives zeros.

    Args:
        query, key, value: any floating dtype; the `cpu` backend takes float32, float64 and bfloat16, and `triton`
            float16 too, with head_dim up to 256.
        query_slots: the place of every query in each ordering; negative means absent. Dimensions of size 1
            broadcast over batch and heads.
        key_slots: the slot of every key, unique in its ordering; the queries' own if not given.
        window: how many slots are seen, one number or one for each ordering, at least 1.
        causal: whether only slots up to the query's own are seen.
        attend_self: False for the rule of shared queries and keys: a token sees itself, the key at its own slot,
            only when it sees nothing else.
        deduplicate: False to let a pair met in `c` orderings weigh `c` times.
        scale: what scores are multiplied by; `1 / sqrt(head_dim)` if not given.
        transform: a learned function of each head that scores then pass through, `Polynomial` or `Sinh`, with
            coefficients `[heads, ...]`; none if not given.
        backend: a name in `BACKENDS`; the fastest that can serve the call if not given.

    Raises:
        ValueError: shapes, windows or a backend that do not fit; the message says which and what would.
        TypeError: a dtype that does not fit.

    Source: Kitaev, Kaiser, Levskaya 2020 (arXiv 2001.04451), section 2, with windows in place of chunks.

    Example:
        >>> x = torch.randn(1, 2, 5, 8)
        >>> slots = position_slots(torch.ones(1, 5, dtype=torch.bool))
        >>> window_attention(x, x, x, slots, window=2, causal=True).shape
        torch.Size([1, 2, 5, 8])
    """
    if key_slots is None:
        key_slots = query_slots
    windows = _checked_windows(window, query_slots)
    _check(query, key, value, query_slots, key_slots)
    _check_transform(transform, query)
    if query.shape[2] == 0 or key.shape[2] == 0:
        return torch.zeros_like(query)
    return BACKENDS[_chosen(backend, query, key)](
        query,
        key,
        value,
        query_slots,
        key_slots,
        windows=windows,
        causal=causal,
        attend_self=attend_self,
        deduplicate=deduplicate,
        scale=1 / math.sqrt(query.shape[-1]) if scale is None else scale,
        transform=transform,
    )


def shared_window_attention(
    query: Float[Tensor, "batch heads length head_dim"],
    value: Float[Tensor, "batch heads length head_dim"],
    slots: Int[Tensor, "#batch #heads orderings length"],
    *,
    window: int | Sequence[int],
    causal: bool = False,
    attend_self: bool = False,
    deduplicate: bool = True,
    scale: float | None = None,
    transform: ScoreTransform | None = None,
    backend: str | None = None,
) -> Float[Tensor, "batch heads length head_dim"]:
    """`window_attention` whose keys are the queries divided by their length: shared queries and keys.

    The same as `window_attention(query, unit_vectors(query), value, slots, attend_self=False, ...)`, but backends make
    the keys as they read the queries, and hand back one gradient for both: of the seven tensors of full size that
    forward and backward of the `cpu` backend would write, three remain.

    Args and errors are those of `window_attention`.

    Source: Kitaev, Kaiser, Levskaya 2020 (arXiv 2001.04451), section 2.

    Example:
        >>> x = torch.randn(1, 2, 5, 8)
        >>> slots = position_slots(torch.ones(1, 5, dtype=torch.bool))
        >>> shared_window_attention(x, x, slots, window=2, causal=True).shape
        torch.Size([1, 2, 5, 8])
    """
    windows = _checked_windows(window, slots)
    _check(query, query, value, slots, slots)
    _check_transform(transform, query)
    if query.shape[2] == 0:
        return torch.zeros_like(query)
    name = _chosen(backend, query, query)
    return BACKENDS[name](
        query,
        unit_vectors(query) if name == "reference" else None,
        value,
        slots,
        slots,
        windows=windows,
        causal=causal,
        attend_self=attend_self,
        deduplicate=deduplicate,
        scale=1 / math.sqrt(query.shape[-1]) if scale is None else scale,
        transform=transform,
    )


def _chosen(backend: str | None, query: Tensor, key: Tensor) -> str:
    if backend is None:
        return next(name for name in BACKENDS if _offers(name, query, key))
    if backend not in BACKENDS:
        raise ValueError(f"backend={backend!r} is not one of {', '.join(map(repr, BACKENDS))}")
    reason = _refusal(backend, query, key)
    if reason is not None:
        raise ValueError(
            f"backend={backend!r} cannot serve this call: {reason}. Leave backend out to let one be chosen"
        )
    return backend


def _offers(name: str, query: Tensor, key: Tensor) -> bool:
    """Whether a backend serves a call that names none."""
    if name == "triton" and not gpu.serves(query):
        return False
    return _refusal(name, query, key) is None


def _refusal(name: str, query: Tensor, key: Tensor) -> str | None:
    return REFUSALS[name](query, key) if name in REFUSALS else None


def _checked_windows(window: int | Sequence[int], slots: Tensor) -> tuple[int, ...]:
    if slots.dim() != 4:
        raise ValueError(f"query_slots has shape {tuple(slots.shape)}, expected [batch, heads, orderings, length]")
    orderings = slots.shape[2]
    windows = (window,) * orderings if isinstance(window, int) else tuple(window)
    if len(windows) != orderings:
        raise ValueError(f"window={list(windows)} has {len(windows)} entries for {orderings} orderings; give one each")
    if not windows or min(windows) < 1:
        raise ValueError(f"window={window}: expected at least one ordering and windows of at least 1")
    return tuple(min(window, WIDEST) for window in windows)


def _check(query: Tensor, key: Tensor, value: Tensor, query_slots: Tensor, key_slots: Tensor) -> None:
    if query.dim() != 4 or key.dim() != 4 or key.shape != value.shape:
        raise ValueError(
            f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}: expected "
            "[batch, heads, length, head_dim], key and value alike"
        )
    if query.shape[:2] != key.shape[:2] or query.shape[3] != key.shape[3]:
        raise ValueError(
            f"query {tuple(query.shape)} and key {tuple(key.shape)} must agree in batch, heads and head_dim"
        )
    if not query.is_floating_point() or not query.dtype == key.dtype == value.dtype:
        raise TypeError(
            f"query {query.dtype}, key {key.dtype}, value {value.dtype}: expected one floating dtype for all three"
        )
    for name, slots, vectors in (("query_slots", query_slots, query), ("key_slots", key_slots, key)):
        if slots.dtype != torch.int64:
            raise TypeError(f"{name} is {slots.dtype}, expected torch.int64")
        if slots.device != vectors.device:
            raise ValueError(f"{name} is on {slots.device}, query and key are on {vectors.device}; move it there")
        batch, heads, length = vectors.shape[:3]
        fits = slots.dim() == 4 and slots.shape[0] in (1, batch) and slots.shape[1] in (1, heads)
        if not fits or slots.shape[3] != length or slots.shape[2] != query_slots.shape[2]:
            raise ValueError(
                f"{name} has shape {tuple(slots.shape)}, expected [{batch} or 1, {heads} or 1, "
                f"{query_slots.shape[2]}, {length}]"
            )


def _check_transform(transform: ScoreTransform | None, query: Tensor) -> None:
    if transform is None:
        return
    found = transform.coefficients
    most = 1 if isinstance(transform, Sinh) else MOST_COEFFICIENTS
    if found.dim() != 2 or found.shape[0] != query.shape[1] or not 1 <= found.shape[1] <= most:
        raise ValueError(
            f"the coefficients of {type(transform).__name__} have shape {tuple(found.shape)}, expected "
            f"[{query.shape[1]} heads, {'1' if most == 1 else f'1 to {most}'}]"
        )
    if not found.is_floating_point() or found.device != query.device:
        raise TypeError(f"coefficients are {found.dtype} on {found.device}, expected floats on {query.device}")
