"""Decoders of the shape of Llama: Llama, Qwen2, Qwen3, Mistral, Phi-3; and EuroBERT, an encoder of that shape."""

from typing import Any, ClassVar

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
from reformer.models.pretrained.weights import Weights


class Llama(Architecture):
    """Llama: pre-norm with root mean squares, rotary positions, grouped keys, gated feed-forward (Touvron et al.
    2023)."""

    prefix = "model."
    bias: ClassVar[str | None] = None
    """Which projections of attention have biases; None where the configuration says it."""
    query_key_norm: ClassVar[bool] = False

    def fields(self, theirs: Any) -> dict[str, Any]:
        rope = theirs.rope_parameters
        require(theirs, {"mlp_bias": False, "pretraining_tp": 1})
        layers = [KINDS[name] for name in getattr(theirs, "layer_types", ["full_attention"] * theirs.num_hidden_layers)]
        heads = theirs.num_attention_heads
        window = {"local_window": theirs.sliding_window} if "local" in layers else {}
        return (
            PLAIN
            | window
            | rotary(theirs, rope)
            | {
                "vocab_size": theirs.vocab_size,
                "hidden_size": theirs.hidden_size,
                "num_attention_heads": heads,
                "num_key_value_heads": None if theirs.num_key_value_heads == heads else theirs.num_key_value_heads,
                "attention_head_size": getattr(theirs, "head_dim", None) or theirs.hidden_size // heads,
                "feed_forward_size": theirs.intermediate_size,
                "hidden_act": activation(theirs.hidden_act),
                "gated_feed_forward": True,
                "norm": "rms",
                "layer_norm_eps": theirs.rms_norm_eps,
                "attention_bias": self.bias or ("all" if theirs.attention_bias else "none"),
                "query_key_norm": self.query_key_norm,
                "attention_layers": layers,
                "is_decoder": True,
                "position_embedding_type": "rotary",
                "rope_theta": rope["rope_theta"],
                "max_position_embeddings": theirs.max_position_embeddings,
                "tie_word_embeddings": theirs.tie_word_embeddings,
                "use_cache": True,
            }
        )

    def body(self, weights: Weights, theirs: Any, layers: int) -> State:
        state = weights.module("embeddings", "embed_tokens") | weights.module("norm", "norm")
        for number in range(layers):
            attention, feed_forward = (f"encoder.sublayers.{2 * number + part}" for part in (0, 1))
            names = {
                f"{attention}.norm": "input_layernorm",
                f"{feed_forward}.norm": "post_attention_layernorm",
                f"{attention}.function.query": "self_attn.q_proj",
                f"{attention}.function.key": "self_attn.k_proj",
                f"{attention}.function.value": "self_attn.v_proj",
                f"{attention}.function.output": "self_attn.o_proj",
                f"{feed_forward}.function.inner": "mlp.gate_proj",
                f"{feed_forward}.function.gate": "mlp.up_proj",
                f"{feed_forward}.function.outer": "mlp.down_proj",
            }
            if self.query_key_norm:
                names |= {
                    f"{attention}.function.query_norm": "self_attn.q_norm",
                    f"{attention}.function.key_norm": "self_attn.k_norm",
                }
            for ours, part in names.items():
                state |= weights.module(ours, f"layers.{number}.{part}")
        for number in range(layers, theirs.num_hidden_layers):
            weights.drop(rf"layers\.{number}\..*")
        return state

    def vocabulary_head(self, weights: Weights, theirs: PreTrainedConfig) -> State:
        return weights.module("lm_head", "lm_head")


class Qwen2(Llama):
    """Qwen2: a Llama with biases of queries, keys and values."""

    bias = "query_key_value"


class Qwen3(Llama):
    """Qwen3: a Llama with norms of queries and keys."""

    query_key_norm = True


class Mistral(Llama):
    """Mistral: a Llama, all of whose layers may look at a window alone."""

    bias = "none"

    def fields(self, theirs: Any) -> dict[str, Any]:
        fields = super().fields(theirs)
        if theirs.sliding_window is None:
            return fields
        kinds = ["local"] * theirs.num_hidden_layers
        return fields | {"attention_layers": kinds, "local_window": theirs.sliding_window}


class Phi3(Mistral):
    """Phi-3: a Mistral whose projections are joined, and whose positions may turn a part of the channels."""

    def fields(self, theirs: Any) -> dict[str, Any]:
        require(theirs, {"resid_pdrop": 0.0, "embd_pdrop": 0.0})
        return super().fields(theirs)

    def body(self, weights: Weights, theirs: Any, layers: int) -> State:
        size = getattr(theirs, "head_dim", None) or theirs.hidden_size // theirs.num_attention_heads
        heads, keys, inner = (
            theirs.num_attention_heads * size,
            theirs.num_key_value_heads * size,
            theirs.intermediate_size,
        )
        for number in range(theirs.num_hidden_layers):
            attention, feed_forward = f"layers.{number}.self_attn", f"layers.{number}.mlp"
            rows = {f"{attention}.q_proj": heads, f"{attention}.k_proj": keys, f"{attention}.v_proj": keys}
            weights.split(f"{attention}.qkv_proj", rows)
            weights.split(
                f"{feed_forward}.gate_up_proj", {f"{feed_forward}.gate_proj": inner, f"{feed_forward}.up_proj": inner}
            )
        return super().body(weights, theirs, layers)


class EuroBert(Llama):
    """EuroBERT: a Llama that reads both sides (Boizard et al. 2025)."""

    global_tokens = (0, -1)

    def fields(self, theirs: Any) -> dict[str, Any]:
        return super().fields(theirs) | {"is_decoder": False, "use_cache": False, "special_tokens": True}
