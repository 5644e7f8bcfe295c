"""Parts of a batch's memory, computed from the configuration: what one can change, and which of them it pays to."""

from collections.abc import Iterator
from typing import Any

from transformers import PreTrainedModel

from reformer.training.plan.growth import Shape

NUMBER, HALF = 4, 2
"""Bytes of a number in float32, and in bfloat16."""
TENSORS_OF_TOKENS = 3
"""Tensors of a batch with a whole number of eight bytes for each token: ids, mask and labels."""


def parts_of_a_batch(model: PreTrainedModel, shape: Shape, *, bfloat16: bool) -> Iterator[tuple[str, float]]:
    """Names and bytes. Layers compute one after the other, so that one attention and one chunk of a feed-forward are
    there at a time; what they keep for the backward pass is not counted here."""
    config: Any = model.config
    size, tokens = HALF if bfloat16 else NUMBER, shape.tokens
    yield "streams", NUMBER * tokens * config.output_size
    query = config.num_attention_heads * config.attention_head_size
    key = (config.num_key_value_heads or config.num_attention_heads) * config.attention_head_size
    # Queries and what attention returns; keys and values.
    yield "one attention", size * tokens * 2 * (query + key)
    chunk = min(tokens, config.chunk_size_feed_forward or tokens)
    yield "one feed-forward chunk", size * chunk * 2 * config.feed_forward_size
    labels = getattr(getattr(model, "classifier", None), "out_features", 0)
    # Losses of whole vocabularies never hold all logits.
    yield "logits", NUMBER * tokens * labels if getattr(model, "labels_of_tokens", False) else 0.0
    yield "data", 8 * TENSORS_OF_TOKENS * tokens
