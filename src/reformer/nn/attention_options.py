"""Options of attention: windows, hashing, and what may be learned beside the projections."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AttentionOptions:
    """Options of an `Attention`.

    Args:
        local_window, lsh_window: how far a token sees in the position ordering and in a bucket.
        buckets, rounds: of the hash, see `reformer.ops.random_rotations`. A pass may have another number of rounds,
            `Tokens.rounds`.
        shared: in hashed kinds, queries are keys (of unit length), and a token sees itself only when alone. If
            False both have unit length, and each head learns the temperature of its scores.
        projection_kernel: the odd width of a filter over neighbouring tokens for every channel of queries, keys and
            values, started as the identity; 0 for none.
        time_heads: which of the heads of `Tokens.time` these are, if positions bias their scores; see `TimeBias`.
        score_transform: "polynomial" or "sinh", a function of each head that scores pass through; None for none. See
            `LearnedTransform`.
        score_order: the highest power of a polynomial.
        hashed_scores: of hashed kinds whose queries are not keys: "cosine" for vectors of unit length and a learned
            temperature, "dot" for plain products over `sqrt(head_dim)`; keys are then hashed less their mean.
        global_tokens: how many tokens of `Tokens.global_slots` every query of a kind other than "full" sees.
        bias: "none", "query_key_value" or "all": which projections add one.
        query_key_norm: divide the queries and keys of each head by their root mean square, with learned scales.
        norm_eps: of that norm.
        gated: scale each head's output by a sigmoid of the layer's input.
        activation: "relu", "gelu" or "silu" of the merged heads; None for none.
    """

    local_window: int = 64
    lsh_window: int = 64
    buckets: int | Sequence[int] = 64
    rounds: int = 2
    shared: bool = True
    projection_kernel: int = 0
    time_heads: Sequence[int] | None = None
    score_transform: str | None = None
    score_order: int = 3
    hashed_scores: str = "cosine"
    global_tokens: int = 0
    bias: str = "none"
    query_key_norm: bool = False
    norm_eps: float = 1e-6
    gated: bool = False
    activation: str | None = None
