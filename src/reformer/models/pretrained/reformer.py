"""transformers' own Reformer: reversible layers of local and hashed attention over axial positions."""

import math
from typing import Any

from transformers import PreTrainedConfig

from reformer.models.pretrained.architecture import Architecture, State, activation, require
from reformer.models.pretrained.weights import PretrainedError, Weights

MASKS = r".*\.(self_)?mask_value_float(16|32)"
"""Constants that files of older versions of transformers have among the weights."""


class TransformersReformer(Architecture):
    """transformers' Reformer (Kitaev et al. 2020), the same function on texts of at most one chunk.

    Their attention cuts a text into chunks, in order of position or of hash bucket, and sees whole chunks; they see all
    of a text that fits into one. Ours slides a window, as long as what theirs sees on the average over a chunk, and
    hashed layers see neighbours as well ("local+lsh"), since a text that theirs would not hash is seen whole. Their
    rotations are drawn at each pass and stored nowhere; ours are drawn once.

    A bias of the scores stands in their files. Their version 5 adds it nowhere, so ours is zero.
    """

    prefix = "reformer."
    expendable = (*Architecture.expendable, "mask_value_float", "lm_head.decoder.bias")

    def exact_length(self, theirs: Any) -> int:
        return min(_chunks(theirs))

    def multiple(self, theirs: Any) -> int:
        return math.lcm(*_chunks(theirs))

    def fields(self, theirs: Any) -> dict[str, Any]:
        require(theirs, {"tie_word_embeddings": False})
        kinds, decoder = set(theirs.attn_layers), theirs.is_decoder
        windows = {kind: _window(theirs, kind) for kind in sorted(kinds)}
        return {
            "vocab_size": theirs.vocab_size,
            "hidden_size": theirs.hidden_size,
            "num_attention_heads": theirs.num_attention_heads,
            "attention_head_size": theirs.attention_head_size,
            "feed_forward_size": theirs.feed_forward_size,
            "hidden_act": activation(theirs.hidden_act),
            "layer_norm_eps": theirs.layer_norm_eps,
            "hidden_dropout_prob": theirs.hidden_dropout_prob,
            "attention_layers": ["local+lsh" if kind == "lsh" else "local" for kind in theirs.attn_layers],
            "local_window": windows.get("local") or windows["lsh"],
            "is_decoder": decoder,
            "use_cache": decoder,
            **({"lsh_window": windows["lsh"], **_hashing(theirs)} if "lsh" in kinds else {}),
            **_positions(theirs),
        }

    def body(self, weights: Weights, theirs: Any, layers: int) -> State:
        weights.drop(MASKS)
        state = weights.module("embeddings", "embeddings.word_embeddings")
        table = "embeddings.position_embeddings"
        if theirs.axial_pos_embds:
            sides = range(len(theirs.axial_pos_shape))
            state |= {f"positions.weights.{side}": weights.take(f"{table}.weights.{side}") for side in sides}
        else:
            state |= weights.module("positions.table", f"{table}.embedding")
        for number, kind in enumerate(theirs.attn_layers[:layers]):
            attention, feed_forward = (f"encoder.sublayers.{2 * number + part}" for part in (0, 1))
            names = {
                f"{attention}.norm": "attention.layer_norm",
                f"{attention}.function.value": "attention.self_attention.value",
                f"{attention}.function.output": "attention.output.dense",
                f"{feed_forward}.norm": "feed_forward.layer_norm",
                f"{feed_forward}.function.inner": "feed_forward.dense.dense",
                f"{feed_forward}.function.outer": "feed_forward.output.dense",
            }
            for name in ("query_key",) if kind == "lsh" else ("query", "key"):
                names[f"{attention}.function.{name}"] = f"attention.self_attention.{name}"
            for ours, part in names.items():
                state |= weights.module(ours, f"encoder.layers.{number}.{part}")
        for number in range(layers, len(theirs.attn_layers)):
            weights.drop(rf"encoder\.layers\.{number}\..*")
        return state | weights.module("norm", "encoder.layer_norm")

    def vocabulary_head(self, weights: Weights, theirs: PreTrainedConfig) -> State:
        state = weights.module("lm_head", "lm_head.decoder")
        weights.drop(r"lm_head\.bias", "which its own code stores and does not add")
        return state


def _chunks(theirs: Any) -> list[int]:
    return [_chunk(theirs, f"{kind}_attn_chunk_length") for kind in set(theirs.attn_layers)]


def _chunk(theirs: Any, name: str) -> int:
    if (length := getattr(theirs, name)) is None:
        raise PretrainedError(f"a model of type {theirs.model_type!r} with {name}=None: expected the length of a chunk")
    return length


def _window(theirs: Any, kind: str) -> int:
    """How far a token sees before it: the chunks before its own and half of its own, which is the mean over a chunk;
    but a text of one chunk is seen whole."""
    before, after = (getattr(theirs, f"{kind}_num_chunks_{side}") for side in ("before", "after"))
    if not theirs.is_decoder and before != after:
        raise PretrainedError(
            f"a model of type {theirs.model_type!r} that reads both sides, with {kind}_num_chunks_before={before} and "
            f"{kind}_num_chunks_after={after}: our windows reach as far to both sides; expected both alike"
        )
    chunk = _chunk(theirs, f"{kind}_attn_chunk_length")
    return max(chunk, chunk * (2 * before + 1) // 2)


def _hashing(theirs: Any) -> dict[str, Any]:
    buckets = theirs.num_buckets
    if buckets is None:
        # Theirs then takes what suits the first text that it reads.
        raise PretrainedError(
            f"a model of type {theirs.model_type!r} with num_buckets=None: expected a number; write that into its "
            "config.json with which it was trained"
        )
    buckets = buckets if isinstance(buckets, int) else list(buckets)
    return {"num_buckets": buckets, "num_rounds": theirs.num_hashes}


def _positions(theirs: Any) -> dict[str, Any]:
    longest = theirs.max_position_embeddings
    if not theirs.axial_pos_embds:
        return {"position_embedding_type": "learned", "max_position_embeddings": longest}
    rows, columns = theirs.axial_pos_shape
    return {
        "position_embedding_type": "axial",
        "axial_pos_shape": [rows, columns],
        "axial_pos_embds_dim": list(theirs.axial_pos_embds_dim),
        "max_position_embeddings": min(longest, rows * columns),
    }
