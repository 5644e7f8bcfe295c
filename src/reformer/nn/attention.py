"""Self-attention of any kind: projections, orderings that are attended in, scales of queries and keys."""

import math
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from reformer.nn.attention_options import AttentionOptions
from reformer.nn.channels import Channels, StreamChannels
from reformer.nn.float32 import HALVES
from reformer.nn.full_attention import continued_attention, full_attention
from reformer.nn.head_projections import HeadProjections
from reformer.nn.key_centers import centered
from reformer.nn.key_tables import KeyTables, continued_places, continued_slots
from reformer.nn.layer import cast_once
from reformer.nn.memory import Memory
from reformer.nn.positions import rotate
from reformer.nn.replay import Replay
from reformer.nn.score_transform import LearnedTransform
from reformer.nn.sequence_part import HeadShare
from reformer.nn.time_bias import TimeBias, waves_of_heads
from reformer.nn.tokens import Tokens
from reformer.ops import (
    bucket_query_slots,
    bucket_slots,
    hash_buckets,
    position_slots,
    random_rotations,
    rotations_of_rounds,
    shared_window_attention,
    unit_vectors,
    window_attention,
)
from reformer.ops.draws import generator
from reformer.ops.orderings import Rotations, bucket_count, bucket_factors
from reformer.ops.window_attention import MAX_WINDOW, ScoreTransform


class Projected(NamedTuple):
    """What attention makes of each token alone, before the tokens see each other."""

    query: Float[Tensor, "batch heads length head_dim"]
    key: Float[Tensor, "batch key_heads length head_dim"] | None
    """None where keys are the queries, divided by their length."""
    value: Float[Tensor, "batch key_heads length head_dim"]
    gate: Float[Tensor, "batch length heads"] | None = None
    """Before its sigmoid."""
    buckets: Int[Tensor, "batch all_heads rounds length"] | None = None
    """Of the heads of keys, then of those of queries that are not keys."""


class Attention(HeadProjections):
    """Multi-head attention to all tokens, to neighbours, to the tokens of a bucket, or to the last two in one softmax.

    Hash rotations are drawn anew in each training forward pass; evaluation uses those in the checkpoint, and for
    further rounds those that follow from them, see `reformer.ops.rotations_of_rounds`.

    Args:
        kind: "full", "local", "lsh" or "local+lsh".
        hidden_size, heads, head_dim: the widths.
        options: windows, hashing and what else may be learned.
        causal: see no later token.
        key_value_heads: how many heads of keys and values there are; as many neighbouring heads share each as divide
            `heads`. Heads that share keys share their hash rotations too. None: a head of keys for each.
        source_size: the width of the vectors that keys and values are made of; `hidden_size` if not given.

    Raises:
        ValueError: `key_value_heads` that do not divide `heads`, or are fewer where the queries are the keys.
    """

    stream_channels: ClassVar[StreamChannels] = {
        # A cross attention reads the source's streams, which are as wide.
        **{f"{name}.weight": {1: Channels.SUMMED} for name in ("query_key", "query", "key", "value", "gate")},
        "output.": {0: Channels.EACH},
    }

    def __init__(
        self,
        kind: str,
        hidden_size: int,
        heads: int,
        head_dim: int,
        options: AttentionOptions,
        *,
        causal: bool = False,
        key_value_heads: int | None = None,
        source_size: int | None = None,
    ) -> None:
        hashed = "lsh" in kind
        super().__init__(
            hidden_size,
            hidden_size if source_size is None else source_size,
            heads,
            key_value_heads,
            head_dim,
            options,
            shared=options.shared and hashed,
            causal=causal,
        )
        self.kind, self.hashed = kind, hashed
        self.rounds = options.rounds if self.hashed else 0
        self.cosine = self.hashed and options.hashed_scores == "cosine"
        if self.shared and not self.cosine:
            raise ValueError("hashed_scores='dot' with shared queries and keys: a key's length would be its query's")
        self.global_tokens = 0 if kind == "full" else options.global_tokens
        self.local_windows, self.lsh_window = (options.local_window,) * ("local" in kind), options.lsh_window
        if self.cosine and not self.shared:
            self.log_temperature = nn.Parameter(torch.full((heads,), 0.5 * math.log(head_dim)))
        self.time_heads = None if options.time_heads is None else tuple(options.time_heads)
        self.time_bias = None if options.time_heads is None else TimeBias(heads)
        transform = options.score_transform
        self.transform = None if transform is None else LearnedTransform(transform, heads, options.score_order)
        self.bucket_factors = bucket_factors(options.buckets) if self.hashed else ()
        for index, rotation in enumerate(self._draw(self.rounds)):
            self.register_buffer(f"rotation_{index}", rotation)

    def why_whole(self) -> None:
        """None: whole rows of some heads are asked for, or neighbours."""

    def reset_learned(self) -> None:
        """Draw the rotations that evaluation uses, set the temperatures to those of unscaled vectors, and filters, time
        bias and score transform to the identity."""
        self._reset_filters()
        for index, rotation in enumerate(self._draw(self.rounds)):
            self.get_buffer(f"rotation_{index}").copy_(rotation)
        if self.cosine and not self.shared:
            self.log_temperature.fill_(0.5 * math.log(self.head_dim))
        if self.time_bias is not None:
            self.time_bias.amplitude.zero_()
        if self.transform is not None:
            self.transform.reset()

    def _draw(self, rounds: int, device: torch.device | None = None) -> Rotations:
        if not self.hashed:
            return ()
        sizes = (self.key_heads, rounds, self.head_dim)
        return random_rotations(*sizes, self.bucket_factors, generator=generator(), device=device)

    def _rotations(self, rounds: int, device: torch.device) -> Rotations:
        if self.training:
            return self._draw(rounds, device)
        kept = tuple(self.get_buffer(f"rotation_{index}") for index in range(len(self.bucket_factors)))
        return rotations_of_rounds(kept, rounds)

    def _rounds(self, tokens: Tokens) -> int:
        return self.rounds if tokens.rounds is None or not self.hashed else tokens.rounds

    def _windows(self, tokens: Tokens) -> tuple[int, ...]:
        """Window of each ordering."""
        return self._position_windows + (self.lsh_window,) * self._rounds(tokens)

    @property
    def _position_windows(self) -> tuple[int, ...]:
        """Windows of the orderings that do not hash."""
        return self.local_windows + (self.global_tokens,) * (self.global_tokens > 0)

    def _share(self, tokens: Tokens) -> HeadShare:
        """The heads that are computed here: all, but where other processes hold parts of the same rows."""
        if tokens.part is None:
            return HeadShare.of(self.heads, self.key_heads)
        return tokens.part.share(self.heads, self.key_heads)

    def forward(
        self, hidden: Float[Tensor, "batch length hidden"], tokens: Tokens, replay: Replay, memory: Memory | None = None
    ) -> Float[Tensor, "batch length hidden"]:
        projected = self.project(hidden, tokens, self.rotations(tokens, replay, hidden.device), memory)
        return self.merge(self.attend(projected, tokens, replay, memory), projected.gate)

    @property
    def projects_tokens_alone(self) -> bool:
        """Whether all that looks at several tokens is in `attend`: without filters, and without keys that are centered
        before they are hashed. A class with a `forward` of its own does not say so."""
        is_this = type(self).forward is Attention.forward
        return is_this and not self.projection_kernel and (self.cosine or not self.hashed)

    def rotations(self, tokens: Tokens, replay: Replay, device: torch.device) -> Rotations | None:
        """The rotations that a pass hashes with; None where nothing is hashed, or was hashed before."""
        if not self.hashed or replay.kept("buckets") is not None:
            return None
        return self._rotations(self._rounds(tokens), device)

    def project(
        self,
        hidden: Float[Tensor, "batch length hidden"],
        tokens: Tokens,
        rotations: Rotations | None,
        memory: Memory | None = None,
    ) -> Projected:
        """Queries, keys and values, turned by their positions; with rotations, their buckets as well."""
        exact, hidden = hidden, cast_once(hidden)
        buckets = None
        if rotations is not None and hidden.dtype in HALVES:
            # Before anything else is held: what this takes is free again by then.
            buckets = self._exact_buckets(exact, tokens, rotations, memory)
        query = self._projected("query_key" if self.shared else "query", hidden, tokens, memory)
        key = query if self.shared else self._projected("key", hidden, tokens, memory)
        value = self._projected("value", hidden, tokens, memory)
        if rotations is not None and buckets is None:
            buckets = self._buckets_of_all(query, key, tokens, rotations, memory)
        # The kernels make keys of the queries by themselves. Rotary positions change no length, so they may come first.
        made_there = self.shared and memory is None and self.time_bias is None and not self.global_tokens
        if not made_there:
            query, key = self._scaled_query(query), unit_vectors(key) if self.cosine else key
        if tokens.rotary is not None:
            key = key if made_there else rotate(key, tokens.rotary[self.kind])
            query = rotate(query, tokens.rotary[self.kind])
        gate = None if self.gate is None else self.gate(hidden)
        return Projected(query, None if made_there else key, value, gate, buckets)

    def attend(
        self, projected: Projected, tokens: Tokens, replay: Replay, memory: Memory | None = None
    ) -> Float[Tensor, "batch heads length head_dim"]:
        """What the heads see of each other's tokens."""
        query, key, value = projected[:3]
        tables = None
        if memory is not None and key is not None and self.kind != "full":
            tables = KeyTables(memory, self._tables(tokens))
            tables.prepare(key, self.head_dim + (self.time_bias is not None))
        query_slots, key_slots = self._slots(projected, tokens, replay, tables)
        share = self._share(tokens)
        if key is None:
            query, value = self._of_whole_rows(tokens, query, value)
            attended = shared_window_attention(
                query,
                value,
                query_slots,
                window=self._windows(tokens),
                causal=self.causal,
                scale=self._scale,
                transform=self._transform(share),
            )
            return self._of_own_tokens(tokens, attended)
        if self.time_bias is not None:
            waves = waves_of_heads(tokens.time, self.time_heads)
            query, key, value = self.time_bias(query, key, value, self._scale, waves)
        if self._asks_neighbours(tokens):
            return self._attend_neighbours(query, key, value, tokens)[..., : self.head_dim]
        query, key, value = self._of_whole_rows(tokens, query, key, value)
        if self.kind == "full":
            attended = self._attend_full(query, key, value, tokens, memory)
        else:
            if tables is not None:
                key, value, key_slots = tables.extended(key, value, query_slots, key_slots)
            attended = window_attention(
                query,
                self._repeat_kv(key, share),
                self._repeat_kv(value, share),
                query_slots,
                None if key_slots is query_slots else self._repeat_kv(key_slots, share),
                window=self._windows(tokens),
                causal=self.causal,
                attend_self=not self.shared,
                scale=self._scale,
                transform=self._transform(share),
            )
        return self._of_own_tokens(tokens, attended[..., : self.head_dim])

    def _of_whole_rows(self, tokens: Tokens, *vectors: Tensor) -> tuple[Tensor, ...]:
        """The heads' vectors, of the heads computed here for all tokens where each process holds a part of these."""
        if tokens.part is None:
            return vectors
        groups = self._share(tokens).groups
        # Each head of queries goes with keys of its own where these are too few to be divided.
        vectors = tuple(each if each.shape[1] % groups == 0 else self._repeat_kv(each) for each in vectors)
        return tokens.part.to_heads(groups, *vectors)

    def _of_own_tokens(self, tokens: Tokens, attended: Tensor) -> Tensor:
        if tokens.part is None:
            return attended
        return tokens.part.to_tokens(self._share(tokens).groups, self.heads, attended)

    def _asks_neighbours(self, tokens: Tokens) -> bool:
        """Whether keys and values of a window's reach are asked for, and not those of some heads for whole rows, which
        are more (`docs/math.md`, equation 56)."""
        if tokens.part is None or self.kind != "local" or self.global_tokens:
            return False
        reach = self.local_windows[0] - 1
        asked = 2 * self.key_heads * reach * (1 if self.causal else 2)
        return asked < 2 * (self.heads + self.key_heads) * sum(tokens.part.lengths) / tokens.part.processes

    def _attend_neighbours(
        self, query: Tensor, key: Tensor, value: Tensor, tokens: Tokens
    ) -> Float[Tensor, "batch heads length head_dim"]:
        """Local attention of this part's tokens to themselves and to those of other parts within the window."""
        assert tokens.part is not None
        before, share = self.local_windows[0] - 1, HeadShare.of(self.heads, self.key_heads)
        after = 0 if self.causal else before
        both = tokens.part.around(torch.cat((key, value), -1).transpose(1, 2), before, after).transpose(1, 2)
        key, value = both.split(key.shape[-1], -1)
        if query.shape[2] == 0:
            # Without a token of its own, this process must still hear of the gradients of what it has received.
            return query + key[:, :1, :0]
        return window_attention(
            query,
            self._repeat_kv(key, share),
            self._repeat_kv(value, share),
            tokens.slots,
            tokens.slots_around(before, after),
            window=self.local_windows,
            causal=self.causal,
            scale=self._scale,
            transform=self._transform(share),
        )

    def _transform(self, share: HeadShare) -> ScoreTransform | None:
        return None if self.transform is None else self.transform(share)

    def _attend_full(
        self, query: Tensor, key: Tensor, value: Tensor, tokens: Tokens, memory: Memory | None
    ) -> Float[Tensor, "batch heads length head_dim"]:
        share, tokens = self._share(tokens), tokens.whole
        scale, mask = self._scale, tokens.mask if tokens.padded else None
        if memory is None and self.transform is not None:
            return self._attend_transformed(query, key, value, scale, (tokens.slots, tokens.slots), share)
        if memory is None:
            return full_attention(query, key, value, mask, self.causal, scale)
        earlier = memory.tensors
        if "key" in earlier:
            key, value = torch.cat((earlier["key"], key), 2), torch.cat((earlier["value"], value), 2)
        real = torch.cat((earlier["mask"], tokens.mask), 1) if "key" in earlier else tokens.mask
        earlier.update(key=key, value=value, mask=real)
        if self.transform is not None:
            return self._attend_transformed(query, key, value, scale, (tokens.slots, position_slots(real)), share)
        return continued_attention(query, key, value, real, scale)

    def _attend_transformed(
        self, query: Tensor, key: Tensor, value: Tensor, scale: float, slots: tuple[Tensor, Tensor], share: HeadShare
    ) -> Float[Tensor, "batch heads length head_dim"]:
        """Full attention as one window over all tokens, since PyTorch's attention transforms no scores."""
        return window_attention(
            query,
            self._repeat_kv(key, share),
            self._repeat_kv(value, share),
            *slots,
            window=MAX_WINDOW,
            causal=self.causal,
            scale=scale,
            transform=self._transform(share),
        )

    @property
    def _scale(self) -> float:
        return 1.0 if self.cosine else 1 / math.sqrt(self.head_dim)

    def _scaled_query(self, query: Tensor) -> Tensor:
        if self.shared or not self.cosine:
            return query
        return unit_vectors(query) * self.log_temperature.exp().to(query.dtype)[:, None, None]

    def _tables(self, tokens: Tokens) -> tuple[tuple[int, int], ...]:
        """Buckets and window of each ordering."""
        buckets = (1,) * len(self._position_windows) + (math.prod(self.bucket_factors),) * self._rounds(tokens)
        return tuple(zip(buckets, self._windows(tokens), strict=True))

    @property
    def _most_buckets(self) -> int:
        return math.prod(self.bucket_factors)

    def _slots(
        self, projected: Projected, tokens: Tokens, replay: Replay, tables: KeyTables | None
    ) -> tuple[Int[Tensor, "batch heads orderings length"], Int[Tensor, "batch key_heads orderings length"]]:
        """The slots of queries and of keys, which may be one tensor."""
        if not self.hashed:
            placed, keys_placed = tokens.whole.by_position(True, self.global_tokens > 0)
            if tables is None:
                return placed, keys_placed
            return placed.expand(-1, self.heads, -1, -1), keys_placed.expand(-1, self.key_heads, -1, -1)
        buckets = replay.keep("buckets", lambda: self._buckets_of_rows(projected.buckets, tokens))
        share, tokens = self._share(tokens), tokens.whole
        mask = tokens.mask if tokens.padded else None
        of_keys, of_queries = buckets[:, : share.key_heads], buckets[:, share.key_heads :]
        earlier = None if tables is None else tables.counts_of_rounds(len(self._position_windows))
        most = self._most_buckets
        key_slots = bucket_slots(of_keys, mask, most_buckets=most)
        if earlier is not None:
            key_slots = continued_slots(key_slots, earlier)
        if self.shared:
            placed = self._with_position(key_slots, tokens, 1)
            return (self._with_position(key_slots, tokens, 0) if self.global_tokens else placed), placed
        of_shared = self._repeat_kv(of_keys, share)
        places = bucket_query_slots(of_queries, of_shared, mask, causal=self.causal, most_buckets=most)
        if earlier is not None:
            places = continued_places(places, of_queries.long(), mask, self._repeat_kv(earlier))
        return self._with_position(places, tokens, 0), self._with_position(key_slots, tokens, 1)

    @torch.no_grad()
    def _exact_buckets(
        self, hidden: Tensor, tokens: Tokens, rotations: Rotations, memory: Memory | None
    ) -> Int[Tensor, "batch all_heads rounds length"]:
        """As `_buckets_of_all`, of float32 projections, since one query in some tens that was rounded to a half is in
        another bucket (`docs/math.md`, equation 2)."""
        query = self._projected("query_key" if self.shared else "query", hidden, tokens, memory, exact=True)
        key = query if self.shared else self._projected("key", hidden, tokens, memory, exact=True)
        return self._buckets_of_all(query, key, tokens, rotations, memory)

    def _buckets_of_all(
        self, query: Tensor, key: Tensor, tokens: Tokens, rotations: Rotations, memory: Memory | None
    ) -> Int[Tensor, "batch all_heads rounds length"]:
        """The buckets of the heads of keys, then of those of queries that are not keys."""
        keys = key if self.cosine else centered(key, tokens.mask, self.causal, memory, tokens.part)
        return torch.cat(self._buckets((keys,) if self.shared else (keys, query), rotations), 1)

    def _buckets_of_rows(
        self, buckets: Tensor | None, tokens: Tokens
    ) -> Int[Tensor, "batch all_heads rounds all_tokens"]:
        """Those of the heads computed here for all tokens. They were hashed where the tokens are: all processes draw
        the rotations of all heads, which are small, and alike."""
        assert buckets is not None
        if tokens.part is None:
            return buckets
        both = buckets.transpose(2, 3).split([self.key_heads] + [self.heads] * (not self.shared), 1)
        return torch.cat([each.transpose(2, 3) for each in self._of_whole_rows(tokens, *both)], 1)

    def _buckets(self, vectors: tuple[Tensor, ...], rotations: Rotations) -> list[Tensor]:
        """Buckets of keys (and queries), in the smallest integers, because they are kept until the backward pass."""
        small = torch.int16 if bucket_count(rotations) <= 1 << 15 else torch.int32
        # Heads are the second dimension of what `_repeat_kv` takes.
        of_queries = tuple(self._repeat_kv(rotation[None])[0] for rotation in rotations)
        both = zip(vectors, (rotations, of_queries), strict=False)
        return [hash_buckets(each, turned).to(small) for each, turned in both]

    def _with_position(self, slots: Tensor, tokens: Tokens, of_keys: int) -> Tensor:
        """Slots of queries (0) or keys (1) in all orderings, the hash rounds last: there each key is a query's own."""
        if not self._position_windows:
            return slots
        placed = tokens.by_position(len(self.local_windows) > 0, self.global_tokens > 0)[of_keys]
        return torch.cat((placed.expand(-1, slots.shape[1], -1, -1), slots), 2)
