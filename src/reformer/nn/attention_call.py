"""Call of a hashed attention as the quadratic definition of window attention takes it, for whoever looks at a layer."""

from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from reformer.nn.attention import Attention
from reformer.nn.replay import Replay
from reformer.nn.time_bias import waves_of_heads
from reformer.nn.tokens import Tokens
from reformer.ops import position_slots, unit_vectors
from reformer.ops.window_attention import ScoreTransform


class AttentionCall(NamedTuple):
    """What a hashed layer hands to window attention for one input, every head with keys and slots of its own."""

    query: Float[Tensor, "batch heads length width"]
    """Scaled and turned by position; one column wider than a head where there is a time bias."""
    key: Float[Tensor, "batch heads length width"]
    value: Float[Tensor, "batch heads length width"]
    query_slots: Int[Tensor, "batch heads orderings length"]
    """Of all orderings: those by position first, then the hash rounds."""
    key_slots: Int[Tensor, "batch heads orderings length"]
    query_buckets: Int[Tensor, "batch heads rounds length"]
    key_buckets: Int[Tensor, "batch heads rounds length"]
    windows: tuple[int, ...]
    """Of each ordering."""
    mask: Bool[Tensor, "batch length"]
    """True for a real token."""
    causal: bool
    attend_self: bool
    scale: float
    transform: ScoreTransform | None
    gate: Float[Tensor, "batch length heads"] | None
    """Before its sigmoid."""

    @property
    def rounds(self) -> int:
        """The number of hash rounds."""
        return self.key_buckets.shape[2]

    @property
    def by_position(self) -> int:
        """The number of orderings that do not hash."""
        return len(self.windows) - self.rounds

    def row(self, number: int) -> "AttentionCall":
        """The call for one row of the batch alone."""
        tensors = {name: each[number : number + 1] for name, each in self._asdict().items() if isinstance(each, Tensor)}
        return self._replace(**tensors)


@torch.no_grad()
def attention_call(
    attention: Attention, hidden: Float[Tensor, "batch length hidden"], tokens: Tokens, rounds: int | None = None
) -> AttentionCall:
    """The call that a hashed layer makes for this input in evaluation, by the layer's own projections and orderings.

    Window attention of it, merged, is the layer's output (`docs/math.md`, equations 1 to 10, 15 and 16).

    Args:
        attention: the layer, or the part of one whose heads are alike.
        hidden: its input, normalised.
        rounds: another number of hash rounds than the pass has. Rounds that both have are the same.

    Raises:
        ValueError: a layer without hash rounds, one in training, whose rotations are drawn anew for each pass, or rows
            that are divided between processes.
    """
    if not attention.hashed or attention.training or tokens.part is not None:
        told = "in training" if attention.training else f"of kind {attention.kind!r}"
        raise ValueError(
            f"an attention {told if tokens.part is None else 'whose rows are divided between processes'}: expected one "
            "with hash rounds, in evaluation, of whole rows"
        )
    tokens = tokens if rounds is None else replace(tokens, rounds=rounds)
    replay = Replay()
    projected = attention.project(hidden, tokens, attention.rotations(tokens, replay, hidden.device))
    query_slots, key_slots = attention._slots(projected, tokens, replay, None)
    query, key, value = projected[:3]
    key = unit_vectors(query) if key is None else key
    if attention.time_bias is not None:
        waves = waves_of_heads(tokens.time, attention.time_heads)
        query, key, value = attention.time_bias(query, key, value, attention._scale, waves)
    assert projected.buckets is not None
    key_buckets = projected.buckets[:, : attention.key_heads].long()
    query_buckets = key_buckets if attention.shared else projected.buckets[:, attention.key_heads :].long()
    share = attention._share(tokens)
    sizes = (-1, attention.heads, -1, -1)
    return AttentionCall(
        query,
        attention._repeat_kv(key, share),
        attention._repeat_kv(value, share),
        query_slots.expand(sizes),
        attention._repeat_kv(key_slots, share).expand(sizes),
        query_buckets,
        attention._repeat_kv(key_buckets, share),
        attention._windows(tokens),
        tokens.mask,
        attention.causal,
        not attention.shared,
        attention._scale,
        attention._transform(share),
        projected.gate,
    )


def local_only(call: AttentionCall, window: int) -> AttentionCall:
    """The same call without its hash rounds; where no ordering is left, in that of positions with a window."""
    if call.by_position:
        kept = slice(0, call.by_position)
        query_slots, key_slots, windows = call.query_slots[:, :, kept], call.key_slots[:, :, kept], call.windows[kept]
    else:
        query_slots = key_slots = position_slots(call.mask).expand(-1, call.query.shape[1], -1, -1)
        windows = (window,)
    none = call.key_buckets[:, :, :0]
    return call._replace(
        query_slots=query_slots, key_slots=key_slots, windows=windows, query_buckets=none, key_buckets=none
    )
