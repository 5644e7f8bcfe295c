"""Window attention over the union of several orderings: argument checks and the choice of a backend."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import torch
from jaxtyping import Float, Int
from torch import Tensor

from reformer.ops.self_check import SelfCheck
from reformer.ops.window_attention.transforms import MOST_COEFFICIENTS, ScoreTransform, Sinh

_NAMES = ("triton", "cpu", "portable", "eager", "reference")

# Found here and not in a call: an import inside a traced call breaks the graph.
_MODULES: dict[str, ModuleType] = {
    name: import_module(f"{__package__}.{name}") for name in _NAMES if find_spec(f"{__package__}.{name}")
}

BACKENDS: dict[str, Callable[..., Tensor]] = {name: module.attend for name, module in _MODULES.items()}
"""Every backend by name, fastest first. All but `reference` may be missing."""

REFUSALS: dict[str, Callable[[Tensor, Tensor], str | None]] = {
    name: module.why_unsupported for name, module in _MODULES.items()
}
"""Of every backend: why it cannot compute a call with this query and key, or None if it can."""

SELF_CHECKS: list[SelfCheck] = [module.SELF_CHECK for module in _MODULES.values() if hasattr(module, "SELF_CHECK")]

MAX_WINDOW = 1 << 61
"""Slots that a window spans, at most; wider windows are cut to this. No two slots are further apart, and twice as much
still fits in 64 bits."""


class _Choice:
    """The backend of calls that name none; None: the fastest that serves the call."""

    name: str | None = None


@contextmanager
def using_backend(name: str) -> Iterator[None]:
    """Let every call that names no backend be computed by this one, such as those of a model's layers.

    The choice is the process's: other threads go the same way meanwhile.

    Raises:
        ValueError: there is no backend of this name; a call that it cannot serve raises it, too.

    Example:
        >>> with using_backend("reference"):
        ...     logits = model(ids).logits                                   # doctest: +SKIP
    """
    if name not in BACKENDS:
        raise ValueError(f"backend={name!r} is not one of {', '.join(map(repr, BACKENDS))}")
    before, _Choice.name = _Choice.name, name
    try:
        yield
    finally:
        _Choice.name = before


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
    once (`docs/math.md`, equations 5 to 10). The output of a query that sees nothing is zero.

    Args:
        query, key, value: any floating dtype; the `cpu` backend takes float32, float64 and bfloat16, and `triton`
            float16 too, with head_dim up to 256.
        query_slots: int64, the slot of every query in each ordering, below 2^62; negative means absent. Dimensions of
            size 1 broadcast over batch and heads.
        key_slots: the slot of every key, unique in its ordering; `query_slots` if None.
        window: number of slots that are seen, one for all orderings or one for each, at least 1.
        causal: whether only slots up to the query's own are seen.
        attend_self: False for the rule of shared queries and keys: a token sees itself, the key at its own slot,
            only when it sees nothing else. If different keys stand at its slots in different orderings, itself is the
            one in the last ordering that has one (equation 7).
        deduplicate: False to let a pair that is near in `c` orderings weigh `c` times.
        scale: factor of the scores; `1 / sqrt(head_dim)` if None.
        transform: a learned function of each head, applied to the scaled scores: `Polynomial` or `Sinh`, with
            coefficients `[heads, ...]`; the identity if None.
        backend: a name in `BACKENDS`; the fastest that can serve the call if None.

    Raises:
        ValueError: shapes, windows or a backend that do not fit; the message says which, and what is expected.
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
    return BACKENDS[_choose(backend, query, key)](
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

    The same as `window_attention(query, unit_vectors(query), value, slots, attend_self=False, ...)`, but backends
    compute the keys while they read the queries, and return one gradient for both: forward and backward of the `cpu`
    backend write three tensors of full size in place of seven.

    Arguments and errors are those of `window_attention`.

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
    return BACKENDS[_choose(backend, query, query)](
        query,
        None,
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


def _choose(
    backend: str | None,
    query: Float[Tensor, "batch heads queries head_dim"],
    key: Float[Tensor, "batch heads length head_dim"],
) -> str:
    backend = _Choice.name if backend is None else backend
    if backend is None:
        modules = _MODULES.items()
        return next(name for name, module in modules if module.serves(query) and REFUSALS[name](query, key) is None)
    if backend not in BACKENDS:
        raise ValueError(f"backend={backend!r} is not one of {', '.join(map(repr, BACKENDS))}")
    reason = REFUSALS[backend](query, key)
    if reason is not None:
        raise ValueError(
            f"backend={backend!r} cannot serve this call: {reason}. Leave backend out to let one be chosen"
        )
    return backend


# Tensors of any shape from here on: these functions check the shapes.
def _checked_windows(window: int | Sequence[int], slots: Tensor) -> tuple[int, ...]:
    if slots.dim() != 4:
        raise ValueError(f"query_slots has shape {tuple(slots.shape)}, expected [batch, heads, orderings, length]")
    orderings = slots.shape[2]
    windows = (window,) * orderings if isinstance(window, int) else tuple(window)
    if len(windows) != orderings:
        raise ValueError(f"window={list(windows)} has {len(windows)} entries for {orderings} orderings; give one each")
    if not windows or min(windows) < 1:
        raise ValueError(f"window={window}: expected at least one ordering and windows of at least 1")
    return tuple(min(window, MAX_WINDOW) for window in windows)


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
    if not query.shape[3]:
        raise ValueError(f"query {tuple(query.shape)}: expected a head_dim of at least 1")
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
    coefficients = transform.coefficients
    most = 1 if isinstance(transform, Sinh) else MOST_COEFFICIENTS
    if coefficients.dim() != 2 or coefficients.shape[0] != query.shape[1] or not 1 <= coefficients.shape[1] <= most:
        raise ValueError(
            f"the coefficients of {type(transform).__name__} have shape {tuple(coefficients.shape)}, expected "
            f"[{query.shape[1]} heads, {'1' if most == 1 else f'1 to {most}'}]"
        )
    if not coefficients.is_floating_point() or coefficients.device != query.device:
        raise TypeError(
            f"coefficients are {coefficients.dtype} on {coefficients.device}, expected floats on {query.device}"
        )
