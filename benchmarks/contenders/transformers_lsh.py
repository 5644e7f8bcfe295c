"""The core of transformers' LSHSelfAttention: everything between its projections."""

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.case import Action, Contender
from benchmarks.contenders.vectors import (
    CHECK_LENGTH,
    HEAD_DIM,
    WINDOW,
    bucket_number,
    core_actions,
    finite_and_causal,
    random_leaves,
)


def transformers_lsh(
    name: str, *, rounds: int, heads: int = 8, dtype: torch.dtype = torch.float32, longest: int = 1 << 62
) -> Contender:
    """Hashing, sorting, gathering, attention over the own chunk and one before, and the way back."""

    def build(length: int) -> dict[str, Action]:
        leaves = random_leaves(1, length, heads * HEAD_DIM, dtype=dtype)
        layer = _layer(length, heads, rounds)
        return core_actions(lambda: _core(layer, *leaves), leaves, layer)

    def check() -> str:
        leaves = random_leaves(1, CHECK_LENGTH, heads * HEAD_DIM, dtype=dtype)
        layer = _layer(CHECK_LENGTH, heads, rounds)
        return finite_and_causal(lambda *given: _core(layer, *given), leaves, 1, must_be_causal=False)

    options = {"rounds": rounds, "heads": heads, "dtype": str(dtype).removeprefix("torch.")}
    return Contender(name, "transformers", build, check, options, longest)


def factored_buckets(length: int) -> int | list[int]:
    """The number of buckets as everybody's, in the form transformers gives a number it chooses itself: one hash up
    to 128 for these lengths, and beyond it two factors that are powers of two."""
    number = bucket_number(length)
    limit = 2 * max(int((length // WINDOW) ** 0.5), WINDOW)
    if number <= limit:
        return number
    power = number.bit_length() - 1
    return [2 ** (power // 2), 2 ** (power - power // 2)]


class _Given(nn.Module):
    """Stands in for a projection: vectors from outside, at no cost."""

    vectors: Tensor

    def forward(self, hidden: Tensor) -> Tensor:
        return self.vectors


def _layer(length: int, heads: int, rounds: int) -> Any:
    # Imported here, so that the other contenders can be measured where it is missing.
    from transformers.models.reformer.configuration_reformer import ReformerConfig
    from transformers.models.reformer.modeling_reformer import LSHSelfAttention

    layer: Any = LSHSelfAttention(
        ReformerConfig(
            attention_head_size=HEAD_DIM,
            hidden_size=heads * HEAD_DIM,
            num_attention_heads=heads,
            attn_layers=["lsh"],
            is_decoder=True,
            lsh_attn_chunk_length=WINDOW,
            lsh_num_chunks_before=1,
            lsh_num_chunks_after=0,
            lsh_attention_probs_dropout_prob=0.0,
            max_position_embeddings=length,
            num_buckets=factored_buckets(length),
            num_hashes=rounds,
        )
    )
    layer.query_key, layer.value = _Given(), _Given()
    return layer


def _core(layer: Any, query_key: Tensor, value: Tensor) -> Tensor:
    layer.query_key.vectors, layer.value.vectors = query_key, value
    # Of the hidden states only the shape is read once the projections are replaced.
    return layer(torch.empty(0).expand(1, query_key.shape[1], 0)).hidden_states
