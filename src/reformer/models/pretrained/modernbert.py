"""ModernBERT: an encoder of local and global layers with rotary positions (Warner et al. 2024)."""

from typing import Any

from transformers import PreTrainedConfig

from reformer.models.pretrained.architecture import (
    KINDS,
    PLAIN,
    Architecture,
    State,
    activation,
    require,
    rotary,
)
from reformer.models.pretrained.weights import PretrainedError, Weights


class ModernBert(Architecture):
    """ModernBERT: pre-norm, but that the embeddings' norm is in front of the first skip; gated feed-forward."""

    prefix = "model."
    global_tokens = (0, -1)

    def fields(self, theirs: Any) -> dict[str, Any]:
        require(theirs, {"classifier_activation": theirs.hidden_activation})
        rope = theirs.rope_parameters
        scaling, other = (rotary(theirs, rope[name]) for name in KINDS)
        if scaling != other:
            raise PretrainedError(
                f"a model of type {theirs.model_type!r} with rope_parameters={rope}: ours scale the positions of all "
                "layers alike"
            )
        return (
            PLAIN
            | scaling
            | {
                "vocab_size": theirs.vocab_size,
                "hidden_size": theirs.hidden_size,
                "num_attention_heads": theirs.num_attention_heads,
                "attention_head_size": theirs.hidden_size // theirs.num_attention_heads,
                "feed_forward_size": theirs.intermediate_size,
                "hidden_act": activation(theirs.hidden_activation),
                "gated_feed_forward": True,
                "layer_norm_eps": theirs.norm_eps,
                "norm_order": "first",
                "special_tokens": True,
                "attention_bias": "all" if theirs.attention_bias else "none",
                "attention_layers": [KINDS[name] for name in theirs.layer_types],
                # Half of the window lies on each side.
                "local_window": theirs.local_attention // 2 + 1,
                "position_embedding_type": "rotary",
                "rope_theta": {
                    "local": rope["sliding_attention"]["rope_theta"],
                    **dict.fromkeys(("full", "lsh", "local+lsh"), rope["full_attention"]["rope_theta"]),
                },
                "max_position_embeddings": theirs.max_position_embeddings,
                "hidden_dropout_prob": theirs.mlp_dropout,
                "tie_word_embeddings": theirs.tie_word_embeddings,
                "lm_transform": True,
            }
        )

    def body(self, weights: Weights, theirs: Any, layers: int) -> State:
        state = weights.module("embeddings", "embeddings.tok_embeddings")
        state |= weights.module("encoder.sublayers.0.norm", "embeddings.norm") | weights.module("norm", "final_norm")
        for number in range(layers):
            theirs_of, (attention, feed_forward) = (
                f"layers.{number}",
                (f"encoder.sublayers.{2 * number + part}" for part in (0, 1)),
            )
            if number:
                state |= weights.module(f"{attention}.norm", f"{theirs_of}.attn_norm")
            state |= weights.module(f"{attention}.function.output", f"{theirs_of}.attn.Wo")
            state |= weights.module(f"{feed_forward}.norm", f"{theirs_of}.mlp_norm")
            state |= weights.module(f"{feed_forward}.function.outer", f"{theirs_of}.mlp.Wo")
            for prefix, joined, names, rows in (
                (attention, "attn.Wqkv", ("query", "key", "value"), theirs.hidden_size),
                (feed_forward, "mlp.Wi", ("inner", "gate"), theirs.intermediate_size),
            ):
                weights.split(f"{theirs_of}.{joined}", {f"{theirs_of}.{name}": rows for name in names})
                for name in names:
                    state |= weights.module(f"{prefix}.function.{name}", f"{theirs_of}.{name}")
        for number in range(layers, theirs.num_hidden_layers):
            weights.drop(rf"layers\.{number}\..*")
        return state

    def vocabulary_head(self, weights: Weights, theirs: PreTrainedConfig) -> State:
        state = weights.module("lm_transform.dense", "head.dense") | weights.module("lm_transform.norm", "head.norm")
        return state | weights.module("lm_head", "decoder")
