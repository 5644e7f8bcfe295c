"""BERT and the encoders of its shape: RoBERTa, XLM-R, ELECTRA, DistilBERT, and MiniLM, E5, BGE, which are BERTs."""

from typing import Any, ClassVar

from transformers import PreTrainedConfig

from reformer.models.pretrained.architecture import PLAIN, Architecture, State, activation, require
from reformer.models.pretrained.weights import Weights


class Bert(Architecture):
    """BERT: post-norm, learned positions, biases everywhere (Devlin et al. 2019).

    The norm behind each of its sub-layers is the norm of our next one; the vector of the first token type, the only one
    that a text alone has, is added to the positions.
    """

    prefix = "bert."
    global_tokens = (0, -1)
    embeddings_name: ClassVar[str] = "embeddings"
    first_position: ClassVar[int] = 0
    """The row of the position table that the first token has."""
    norm: ClassVar[str] = "LayerNorm"
    layer: ClassVar[str] = "encoder.layer.{}"
    parts: ClassVar[dict[str, str]] = {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "output": "attention.output.dense",
        "inner": "intermediate.dense",
        "outer": "output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "norm": "output.LayerNorm",
    }
    dropped: ClassVar[str] = r"pooler\..*|embeddings\.position_ids"
    transform: ClassVar[tuple[str, str]] = ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm")
    scores: ClassVar[str] = "cls.predictions.decoder"
    copies: ClassVar[str] = r"cls\.predictions\.bias|cls\.seq_relationship\..*"
    """Names under which weights stand a second time, or of heads that ours has not."""

    def sizes(self, theirs: Any) -> dict[str, Any]:
        """The fields of our configuration that DistilBERT calls otherwise."""
        return {
            "hidden_size": theirs.hidden_size,
            "num_attention_heads": theirs.num_attention_heads,
            "feed_forward_size": theirs.intermediate_size,
            "hidden_act": activation(theirs.hidden_act),
            "layer_norm_eps": theirs.layer_norm_eps,
            "hidden_dropout_prob": theirs.hidden_dropout_prob,
            "attention_layers": ["full"] * theirs.num_hidden_layers,
        }

    def fields(self, theirs: Any) -> dict[str, Any]:
        require(theirs, {"is_decoder": False, "add_cross_attention": False, "position_embedding_type": "absolute"})
        fields = PLAIN | self.sizes(theirs)
        require(theirs, {"embedding_size": fields["hidden_size"]})
        return fields | {
            "vocab_size": theirs.vocab_size,
            "attention_head_size": fields["hidden_size"] // fields["num_attention_heads"],
            "norm_order": "post",
            "special_tokens": True,
            "attention_bias": "all",
            "position_embedding_type": "learned",
            "max_position_embeddings": theirs.max_position_embeddings - self.first_position,
            "tie_word_embeddings": theirs.tie_word_embeddings,
            "lm_transform": True,
        }

    def body(self, weights: Weights, theirs: PreTrainedConfig, layers: int) -> State:
        weights.drop(self.dropped)
        embeddings = self.embeddings_name
        positions = weights.take(f"{embeddings}.position_embeddings.weight")[self.first_position :]
        if getattr(theirs, "type_vocab_size", 0):
            positions = positions + weights.take(f"{embeddings}.token_type_embeddings.weight")[0]
        state = weights.module("embeddings", f"{embeddings}.word_embeddings")
        state["positions.table.weight"] = positions
        state |= weights.module("encoder.sublayers.0.norm", f"{embeddings}.{self.norm}")
        for number in range(layers):
            attention, feed_forward = (f"encoder.sublayers.{2 * number + part}" for part in (0, 1))
            behind = "norm" if number + 1 == layers else f"encoder.sublayers.{2 * number + 2}.norm"
            ours = {
                **{name: f"{attention}.function.{name}" for name in ("query", "key", "value", "output")},
                **{name: f"{feed_forward}.function.{name}" for name in ("inner", "outer")},
                "attention_norm": f"{feed_forward}.norm",
                "norm": behind,
            }
            for name, part in self.parts.items():
                state |= weights.module(ours[name], f"{self.layer.format(number)}.{part}")
        for number in range(layers, theirs.num_hidden_layers):
            weights.drop(rf"{self.layer.format(number)}\..*".replace(".layer.", r"\.layer\."))
        return state

    def vocabulary_head(self, weights: Weights, theirs: PreTrainedConfig) -> State:
        dense, norm = self.transform
        state = weights.module("lm_transform.dense", dense) | weights.module("lm_transform.norm", norm)
        state |= weights.module("lm_head", self.scores)
        weights.drop(self.copies)
        return state


class Roberta(Bert):
    """RoBERTa and XLM-R: a BERT whose positions begin behind the id of padding (Liu et al. 2019)."""

    prefix = "roberta."
    first_position = 2
    transform = ("lm_head.dense", "lm_head.layer_norm")
    scores = "lm_head.decoder"
    copies = r"lm_head\.bias"

    def fields(self, theirs: Any) -> dict[str, Any]:
        require(theirs, {"pad_token_id": self.first_position - 1})
        return super().fields(theirs)


class Electra(Bert):
    """ELECTRA's discriminator or generator, as a BERT (Clark et al. 2020)."""

    prefix = "electra."
    transform = ("generator_predictions.dense", "generator_predictions.LayerNorm")
    scores = "generator_lm_head"
    copies = r"generator_lm_head\..*"


class DistilBert(Bert):
    """DistilBERT: a BERT with other names and without token types (Sanh et al. 2019)."""

    prefix = "distilbert."
    layer = "transformer.layer.{}"
    parts: ClassVar[dict[str, str]] = {
        "query": "attention.q_lin",
        "key": "attention.k_lin",
        "value": "attention.v_lin",
        "output": "attention.out_lin",
        "inner": "ffn.lin1",
        "outer": "ffn.lin2",
        "attention_norm": "sa_layer_norm",
        "norm": "output_layer_norm",
    }
    transform = ("vocab_transform", "vocab_layer_norm")
    scores = "vocab_projector"
    copies = "^$"

    def sizes(self, theirs: Any) -> dict[str, Any]:
        require(theirs, {"sinusoidal_pos_embds": False})
        return {
            "hidden_size": theirs.dim,
            "num_attention_heads": theirs.n_heads,
            "feed_forward_size": theirs.hidden_dim,
            "hidden_act": activation(theirs.activation),
            "layer_norm_eps": 1e-12,
            "hidden_dropout_prob": theirs.dropout,
            "attention_layers": ["full"] * theirs.n_layers,
        }
