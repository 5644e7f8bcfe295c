"""Every head and every kind of attention, small, for the properties that all of them must have."""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from reformer.models import (
    ReformerConfig,
    ReformerForCausalLM,
    ReformerForConditionalGeneration,
    ReformerForMaskedLM,
    ReformerForQuestionAnswering,
    ReformerForSequenceClassification,
    ReformerForTokenClassification,
    ReformerPreTrainedModel,
)
from reformer.ops import gpu, native

VOCABULARY, LABELS = 41, 5
KINDS = ("full", "local", "lsh", "local+lsh")

SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_attention_heads": 2,
    "attention_head_size": 16,
    "feed_forward_size": 48,
    "local_window": 5,
    "lsh_window": 6,
    "num_buckets": [2, 4],
    "num_rounds": 2,
    "max_position_embeddings": 256,
    "num_labels": LABELS,
    # Large weights make attention sharp, so that a wrongly seen token shows.
    "initializer_range": 0.3,
}

FLATTER = {"initializer_range": 0.2}
"""Smaller weights, where with larger ones float32 rounding itself comes near the bounds, on some processors over them:
without padding and with it, products have other shapes, and round otherwise."""

AXIAL = {"position_embedding_type": "axial", "axial_pos_shape": [16, 16], "axial_pos_embds_dim": [12, 20]}

VARIANTS: dict[str, dict[str, Any]] = {
    "full": {"attention_layers": ["full"] * 3, **FLATTER},
    "local": {"attention_layers": ["local"] * 3},
    "lsh": {"attention_layers": ["lsh"] * 3},
    "local+lsh": {"attention_layers": ["local+lsh"] * 3},
    "separate": {"attention_layers": ["lsh", "local+lsh", "lsh"], "shared_query_key": False},
    "mixed": {
        "attention_layers": ["local", "lsh", "full", "local+lsh"],
        "convolution_kernel": 3,
        **AXIAL,
        "gated_feed_forward": True,
        "chunk_size_feed_forward": 7,
        **FLATTER,
    },
    "heads": {
        "attention_layers": [
            "full",
            ["lsh", "local", "local", "full"],
            ["local+lsh", "none", "local+lsh", "local+lsh"],
        ],
        "num_attention_heads": 4,
        "attention_head_size": 8,
        "local_window": [5, 9, 9, 5],
        "lsh_window": [6, 6, 6, 11],
        "time_bias_length": 40,
        "score_transform": "polynomial",
        "gated_heads": True,
        "attention_act": "gelu",
        **FLATTER,
    },
    "grouped": {
        "attention_layers": ["full", ["local", "local", "lsh", "lsh"], "local+lsh"],
        "num_attention_heads": 4,
        "attention_head_size": 8,
        "num_key_value_heads": 2,
        "time_bias_length": 100,
        "score_transform": "sinh",
        "shared_query_key": False,
    },
    "ngrams": {
        "attention_layers": ["local", "lsh"],
        "ngram_sizes": [2, 3],
        "ngram_rows": 97,
        "ngram_width": 8,
        "ngram_min_frequency": 2,
    },
    "shared": {
        "attention_layers": ["local", "lsh"] * 2,
        "num_distinct_layers": 2,
        "convolution_kernel": 3,
        "tie_word_embeddings": True,
    },
    "projected": {
        "attention_layers": ["lsh", "full", "local+lsh"],
        "shared_query_key": False,
        "projection_kernel": 3,
        "bottleneck_size": 24,
        "embedding_size": 20,
        **FLATTER,
        "tie_word_embeddings": True,
        "chunk_size_feed_forward": 7,
    },
    "fourier": {
        "attention_layers": ["fourier", "lsh", "fourier"],
        "fourier_kernel": 90,
        "feed_forward_linear": "circulant",
        "circulant_block": 4,
        **FLATTER,
    },
    "hourglass": {
        "attention_layers": ["local", "lsh", "full", "fourier", "local"],
        "convolution_kernel": 3,
        "shortened_layers": [1, 4],
        "shorten_stride": 3,
        "fusion_kernel": 4,
        "fusion_ranges": [2, 5],
        "fusion_size": 24,
        "classifier_pooling": "fusion",
        **FLATTER,
    },
    "learned": {"attention_layers": ["local", "lsh"], "position_embedding_type": "learned", "hidden_act": "relu"},
    "sinusoidal": {"attention_layers": ["lsh", "local"], "position_embedding_type": "sinusoidal"},
    "plain": {
        "attention_layers": ["full", "full"],
        "residual_streams": 1,
        "reversible": False,
        "position_embedding_type": "sinusoidal",
        "hidden_act": "relu",
    },
    "post-norm": {
        "attention_layers": ["local+lsh", "full", "lsh", "local"],
        "residual_streams": 1,
        "reversible": False,
        "recompute": True,
        "norm_order": "post",
        "attention_bias": "all",
        "shared_query_key": False,
        "hashed_scores": "dot",
        "global_tokens": [0, 3],
        "position_embedding_type": "learned",
        **FLATTER,
    },
    "rms": {
        "attention_layers": ["local", "full", ["local+lsh", "local+lsh", "lsh", "lsh"]],
        "residual_streams": 1,
        "reversible": False,
        "recompute": True,
        "norm_order": "first",
        "norm": "rms",
        "num_attention_heads": 4,
        "attention_head_size": 8,
        "num_key_value_heads": 2,
        "global_tokens": [1],
        "attention_bias": "query_key_value",
        "query_key_norm": True,
        "shared_query_key": False,
        "rope_theta": {"full": 500.0, "local": 100.0, "lsh": 50.0, "local+lsh": 50.0},
        "rotary_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
        "partial_rotary_factor": 0.5,
        **FLATTER,
    },
    "global": {
        "attention_layers": ["local", "lsh", "local+lsh"],
        "global_tokens": [5, 0],
        "attention_bias": "all",
        "query_key_norm": True,
        "norm": "rms",
        **FLATTER,
    },
    "none": {"attention_layers": ["local+lsh"], "position_embedding_type": "none", "hidden_act": "silu"},
}
"""Every attention kind alone, then together with every other option."""


@dataclass(frozen=True, eq=False)
class Head:
    """A head, whether it may look ahead, and labels it can be trained on."""

    model: type[ReformerPreTrainedModel]
    causal: bool
    labels: Callable[[Tensor], dict[str, Tensor]]
    fields: dict[str, Any] = field(default_factory=dict)

    def build(self, variant: str = "local+lsh", **options: Any) -> Any:
        fields = {**SMALL, "is_decoder": self.causal, **VARIANTS[variant], **self.fields, **options}
        config = ReformerConfig(**fields)
        model = self.model(config).eval()
        # What starts without effect, at zero or as the identity, would not show what is wrong with it.
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith(("ngrams.table", "time_bias.amplitude", "_filters")):
                    parameter.normal_(std=0.6 if name.endswith("_filters") else 1.0)
                elif name == "transitions":
                    parameter.normal_(std=0.5)
                elif name.endswith("transform.coefficients"):
                    parameter.normal_(std=0.01)
                elif name.endswith(("query.bias", "query_key.bias", "key.bias", "value.bias", "output.bias")):
                    parameter.normal_(std=0.2)
                elif name.endswith(("query_norm.weight", "key_norm.weight")) or (
                    ".norm." in name and {"norm", "norm_order"} & fields.keys()
                ):
                    parameter.normal_(1.0, std=0.2)
            for name, buffer in model.named_buffers():
                if name.endswith("ngrams.frequent"):
                    buffer.bernoulli_(0.7)
                elif name == "wide.spelling":
                    # Tokens of one to three characters, of five different ones.
                    letters = torch.randint(1, 6, buffer.shape)
                    lengths = torch.randint(1, 4, (len(buffer), 1))
                    buffer.copy_(letters * (torch.arange(buffer.shape[1]) < lengths))
                elif name.startswith("wide."):
                    buffer.uniform_(0, 2)
        return model


def _token_labels(ids: Tensor) -> dict[str, Tensor]:
    return {"labels": ids % LABELS}


def _positions(ids: Tensor) -> dict[str, Tensor]:
    first = torch.zeros(len(ids), dtype=torch.int64)
    return {"start_positions": first, "end_positions": first + ids.shape[1] // 2}


ENCODER_DECODER = {
    "is_encoder_decoder": True,
    "decoder_attention_layers": ["local+lsh", "full"],
    "cross_attention_layers": ["lsh", "full"],
    # The decoder is as sharp in the encoder's rounding; with larger weights float32 alone breaks the bounds.
    "initializer_range": 0.2,
    "ngram_min_frequency": 1,
}
"""A decoder with every kind of cross attention, whatever the encoder's layers are."""

WIDE = {"wide_sizes": [1, 2], "wide_rows": 97}

HEADS = {
    "causal-lm": Head(ReformerForCausalLM, True, lambda ids: {"labels": ids}),
    "masked-lm": Head(ReformerForMaskedLM, False, lambda ids: {"labels": ids}),
    "token-classification": Head(ReformerForTokenClassification, False, _token_labels),
    "causal-token-classification": Head(ReformerForTokenClassification, True, _token_labels),
    "random-field": Head(ReformerForTokenClassification, False, _token_labels, {"classifier_crf": True}),
    "sequence-classification": Head(
        ReformerForSequenceClassification, False, lambda ids: {"labels": ids[:, 0] % LABELS}
    ),
    "multi-label-classification": Head(
        ReformerForSequenceClassification,
        False,
        lambda ids: {"labels": (ids[:, :1] + torch.arange(LABELS)) % 2},
        {"problem_type": "multi_label_classification"},
    ),
    "wide-tokens": Head(ReformerForTokenClassification, False, _token_labels, {"classifier_crf": True, **WIDE}),
    "wide-sequences": Head(ReformerForSequenceClassification, False, lambda ids: {"labels": ids[:, 0] % LABELS}, WIDE),
    "wide-characters": Head(
        ReformerForSequenceClassification,
        False,
        lambda ids: {"labels": ids[:, 0] % LABELS},
        WIDE | {"wide_reads": "characters"},
    ),
    "question-answering": Head(
        ReformerForQuestionAnswering, False, _positions, {"question_match_sizes": [1, 2], "eos_token_id": 3}
    ),
    "encoder-decoder": Head(ReformerForConditionalGeneration, False, lambda ids: {"labels": ids}, ENCODER_DECODER),
}

every_head = pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
every_variant = pytest.mark.parametrize("variant", VARIANTS)

OVER_EVERY_VARIANT = ("causal-lm", "token-classification", "sequence-classification", "encoder-decoder")
"""Layers that look back, that look ahead, and that are read as one vector or by a decoder; scores by the embeddings."""

UNDER_EVERY_HEAD = ("mixed", "projected", "hourglass", "post-norm")
"""Two streams, embeddings of another width that are tied, a learned pooling of shortened layers, and one stream."""


def heads_and_variants(
    heads: Iterable[str] = HEADS,
    over_every_variant: Container[str] = OVER_EVERY_VARIANT,
    under_every_head: Container[str] = UNDER_EVERY_HEAD,
) -> pytest.MarkDecorator:
    """Every head with every variant, as `head` and `variant`, most pairs in `make test-slow` alone.

    A head reads what the layers give and knows nothing else of them, so that the quick tests have every variant under
    the heads that use the layers differently, and every head over the variants that give it different things.
    """

    def pair(head: str, variant: str) -> Any:
        is_quick = head in over_every_variant or variant in under_every_head
        return pytest.param(HEADS[head], variant, id=f"{variant}-{head}", marks=() if is_quick else pytest.mark.slow)

    return pytest.mark.parametrize(("head", "variant"), [pair(head, variant) for variant in VARIANTS for head in heads])


every_head_and_variant = heads_and_variants()


def random_ids(batch: int, length: int) -> Tensor:
    return torch.randint(1, VOCABULARY, (batch, length))


def outputs(model: Any, ids: Tensor, mask: Tensor | None = None, **options: Any) -> Tensor:
    """The output of any head as one tensor `[batch, ...]`, three dimensions meaning one vector for each input token.
    An encoder-decoder's is that of a fixed target."""
    with torch.no_grad():
        if model.config.is_encoder_decoder:
            target = torch.arange(1, 18).repeat(len(ids), 1)
            options["decoder_input_ids"] = target
        found = model(input_ids=ids, attention_mask=mask, **options)
    if model.config.is_encoder_decoder:
        return found.logits.flatten(1)
    return found.logits if "logits" in found else torch.stack((found.start_logits, found.end_logits), -1)


def token_outputs(model: Any, ids: Tensor, mask: Tensor | None = None) -> Tensor:
    """The backbone's streams, side by side."""
    with torch.no_grad():
        return model.reformer(input_ids=ids, attention_mask=mask).last_hidden_state


def the_same(model: Any, after: Tensor, before: Tensor) -> bool:
    """Whether an edit of the future has changed nothing: bit for bit, but where tiles are cut by the data.

    On a GPU, and in plain PyTorch for queries with a row of their own, the places in a row say where tiles begin, and
    tokens of the future move these: sums are split elsewhere.
    """
    config = model.config
    apart = not config.shared_query_key or config.is_encoder_decoder or config.global_tokens
    if gpu.INTERPRETED or (native.LIBRARY is None and apart):
        return bool((after - before).abs().max() < (1e-12 if after.dtype == torch.float64 else 1e-5))
    return torch.equal(after, before)


def within(bound: float, head: Head, variant: str, difference: Callable[[Any], Tensor]) -> bool:
    """Whether two computations of different shapes agree in float32, but for a bucket that rounding has changed.

    Products of other shapes round otherwise, so that of a token on a bucket's boundary the bucket may change: fewer
    than one in 10^5 decisions. Where one seems to have changed, float64 must show that nothing but rounding did it, in
    the same model with the same tokens, and float32 must agree in another one with others.

    Args:
        difference: the greatest one, for a model and tokens that it draws.
    """

    def drawn(seed: int, dtype: torch.dtype) -> tuple[Any, Tensor]:
        torch.manual_seed(seed)
        model = head.build(variant).to(dtype)
        return model, difference(model)

    model, found = drawn(0, torch.float32)
    is_hashed = any("rotation_" in name for name, _ in model.named_buffers())
    if found < bound or not is_hashed:
        return bool(found < bound)
    return bool(drawn(0, torch.float64)[1] < 1e-9 and drawn(1, torch.float32)[1] < bound)
