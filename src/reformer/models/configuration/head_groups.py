"""Groups of the heads of a layer that are alike: of one kind and with one window."""

from collections.abc import Sequence
from typing import Any, NamedTuple

LayerSpec = str | list[str] | tuple[str, ...]
"""The kind of all heads of a layer, or the kind of each."""

NO_HEAD = "none"
"""Kind of a head that was pruned. The others keep their numbers, and so their windows."""


class HeadGroup(NamedTuple):
    """Heads that are alike, which one call of the op computes."""

    kind: str
    local_window: int
    lsh_window: int
    heads: tuple[int, ...]
    """Their numbers in the layer."""


def head_groups(
    layer: str | Sequence[str], heads: int, local_window: int | Sequence[int], lsh_window: int | Sequence[int]
) -> list[HeadGroup]:
    """The groups of a layer's heads, in the order of their first heads.

    Args:
        layer: the kind of all heads, or a kind for each; `NO_HEAD` for one that is not there.
        local_window, lsh_window: the windows of all heads, or one for each.

    Raises:
        ValueError: a list that has not one entry for each head.

    Example:
        >>> [group.heads for group in head_groups(["local", "lsh", "local"], 3, 8, 16)]
        [(0, 2), (1,)]
    """
    kinds = _for_each(f"attention_layers has {layer}", (layer,) * heads if isinstance(layer, str) else layer, heads)
    local, lsh = (
        _for_each(f"{name}={window}", (window,) * heads if isinstance(window, int) else window, heads)
        for name, window in (("local_window", local_window), ("lsh_window", lsh_window))
    )
    groups: dict[tuple[str, int, int], list[int]] = {}
    for head, kind in enumerate(kinds):
        if kind == NO_HEAD:
            continue
        # Heads that differ only in a window that their kind does not use are alike: split, they would take two calls.
        alike = (kind, local[head] if "local" in kind else local[0], lsh[head] if "lsh" in kind else lsh[0])
        groups.setdefault(alike, []).append(head)
    return [HeadGroup(*alike, tuple(members)) for alike, members in groups.items()]


def _for_each(told: str, entries: Sequence[Any], heads: int) -> Sequence[Any]:
    if len(entries) != heads:
        raise ValueError(f"{told}: {len(entries)} entries for num_attention_heads={heads}; give one for each head")
    return entries
