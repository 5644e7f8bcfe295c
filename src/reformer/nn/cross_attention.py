"""Cross attention: a decoder's tokens attend to the encoder's output."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from reformer.nn.attention import Attention
from reformer.nn.attention_options import AttentionOptions
from reformer.nn.float32 import HALVES
from reformer.nn.full_attention import cross_attention
from reformer.nn.key_centers import centered
from reformer.nn.layer import cast_once
from reformer.nn.memory import Memory
from reformer.nn.positions import rotate
from reformer.nn.replay import Replay
from reformer.nn.tokens import Tokens
from reformer.ops import bucket_query_slots, bucket_slots, position_slots, unit_vectors, window_attention


class CrossAttention(Attention):
    """Multi-head attention to the tokens of `Tokens.source`, to all of them or to those that hash alike.

    With "lsh", queries and keys are hashed by the same rotations, and a query stands in the middle of its bucket's
    row, where the source's tokens stand in their order (`docs/math.md`, equations 4 and 25). It sees a bucket of up to
    `2 * window - 1` keys whole, and of a fuller one the `2 * window - 1` in the middle of the row, so those nearest to
    the source's ends are what it misses. Choose the buckets so that `source length / buckets` stays well below twice
    the window. A query whose buckets are all empty gets zeros.

    Args:
        kind: "full" or "lsh".
        hidden_size: the width of the tokens' own vectors.
        source_size: the width of the source's.
        heads, head_dim: how many heads, and how wide.
        options: `lsh_window`, hashing and what else may be learned; queries are never keys, projections have no
            filters, and positions bias no scores.
    """

    def __init__(
        self,
        kind: str,
        hidden_size: int,
        source_size: int,
        heads: int,
        head_dim: int,
        options: AttentionOptions,
    ) -> None:
        own = replace(options, shared=False, projection_kernel=0, time_heads=None, global_tokens=0)
        super().__init__(kind, hidden_size, heads, head_dim, own, source_size=source_size)

    def why_whole(self) -> str | None:
        return "cross attention: the source's rows would have to be divided as well"

    def forward(
        self, hidden: Float[Tensor, "batch length hidden"], tokens: Tokens, replay: Replay, memory: Memory | None = None
    ) -> Float[Tensor, "batch length hidden"]:
        exact, hidden = hidden, cast_once(hidden)
        query = self._projected("query", hidden, tokens, None)
        # What is hashed: one query in some tens that was rounded to a half would be in another bucket.
        is_rounded = self.hashed and hidden.dtype in HALVES
        hashed = partial(self._projected, "query", exact, tokens, None, exact=True) if is_rounded else lambda: query
        rounds = self._rounds(tokens)
        seen = self._remembered(hashed, memory, rounds) or self._read(hashed, tokens, replay, rounds)
        if memory is not None:
            # Later queries have no use for the buckets of these.
            memory.tensors.update({name: tensor for name, tensor in seen.items() if name != "query_buckets"})
        places = None if self.kind == "full" else self._places(seen, tokens)
        query = self._scaled_query(query)
        if tokens.rotary is not None:
            query = rotate(query, tokens.rotary[self.kind])
        if places is None and self.transform is not None:
            mask = seen.get("mask")
            if mask is None:
                mask = torch.ones(query.shape[0], seen["key"].shape[2], dtype=torch.bool, device=query.device)
            slots = (tokens.slots, position_slots(mask))
            found = self._attend_transformed(
                query, seen["key"], seen["value"], self.head_dim**-0.5, slots, self._share(tokens)
            )
        elif places is None:
            found = cross_attention(query, seen["key"], seen["value"], seen.get("mask"))
        else:
            found = window_attention(
                query,
                seen["key"],
                seen["value"],
                places,
                seen["slots"],
                window=self._windows(tokens),
                scale=self._scale,
                transform=self._transform(self._share(tokens)),
            )
        return self.merge(found, None if self.gate is None else self.gate(hidden))

    def _read(self, query: Callable[[], Tensor], tokens: Tokens, replay: Replay, rounds: int) -> dict[str, Tensor]:
        """The source's keys and values; where they hash, their slots and buckets, and the queries' buckets."""
        source = tokens.source
        if source is None:
            raise ValueError("cross attention without a source to look at; give Tokens a `source`")
        hidden = cast_once(source.hidden)
        key, value = (self._projected(name, hidden, tokens, None) for name in ("key", "value"))
        seen = {"value": value}
        if source.tokens.padded:
            seen["mask"] = source.tokens.mask
        if self.hashed:

            def buckets_of_both() -> Tensor:
                is_rounded = hidden.dtype in HALVES
                keys = self._projected("key", source.hidden, tokens, None, exact=True) if is_rounded else key
                keys = keys if self.cosine else centered(keys, source.tokens.mask, False)
                return torch.cat(self._buckets((keys, query()), self._rotations(rounds, keys.device)), -1)

            buckets = replay.keep("buckets", buckets_of_both)
            seen["buckets"], seen["query_buckets"] = buckets.tensor_split((key.shape[2],), -1)
            seen["slots"] = bucket_slots(seen["buckets"], seen.get("mask"), most_buckets=self._most_buckets)
            key = unit_vectors(key) if self.cosine else key
        waves = source.tokens.rotary
        seen["key"] = key if waves is None else rotate(key, waves[self.kind])
        return seen

    def _remembered(self, query: Callable[[], Tensor], memory: Memory | None, rounds: int) -> dict[str, Tensor] | None:
        if memory is None or "key" not in memory.tensors:
            return None
        seen = dict(memory.tensors)
        if self.hashed:
            hashed = query()
            seen["query_buckets"] = self._buckets((hashed,), self._rotations(rounds, hashed.device))[0]
        return seen

    def _places(self, seen: dict[str, Tensor], tokens: Tokens) -> Tensor:
        return bucket_query_slots(
            seen["query_buckets"],
            seen["buckets"],
            seen.get("mask"),
            aligned=False,
            query_mask=tokens.mask if tokens.padded else None,
            most_buckets=self._most_buckets,
        )
