"""The attention of others: transformers' and reformer-pytorch's Reformers, and torch's full attention."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.case import NO_LIMIT, Contender
from benchmarks.contenders.vectors import HEAD_DIM, HEADS, WINDOW, Core, attention, bucket_number


def full(
    name: str, *, dtype: torch.dtype = torch.float32, kernel: SDPBackend | None = None, longest: int = NO_LIMIT
) -> Contender:
    """Full causal attention. Queries and keys are one tensor here too; heads stand before tokens already, as it is
    fastest.

    Args:
        kernel: which of torch's kernels; the one that torch chooses if not given.
    """

    def core(query_key: Tensor, value: Tensor) -> Tensor:
        if kernel is None:
            return scaled_dot_product_attention(query_key, query_key, value, is_causal=True)
        with sdpa_kernel(kernel):
            return scaled_dot_product_attention(query_key, query_key, value, is_causal=True)

    def shape(length: int) -> tuple[int, ...]:
        return 1, HEADS, length, HEAD_DIM

    return attention(name, "full", lambda _: (core, None), shape=shape, causal=True, dtype=dtype, longest=longest)


def reformer_pytorch_lsh(
    name: str, *, rounds: int, dtype: torch.dtype = torch.float32, longest: int = NO_LIMIT
) -> Contender:
    """reformer-pytorch's LSHAttention: hashing, sorting, gathering, attention over the own bucket and one before, and
    the way back; heads stand in the batch already, as it wants them."""

    def make(length: int) -> tuple[Core, nn.Module]:
        # Imported here, so that the other contenders can be measured where it is missing.
        from reformer_pytorch import LSHAttention

        layer = LSHAttention(bucket_size=WINDOW, n_hashes=rounds, causal=True)
        return lambda query_key, value: layer(query_key, value)[0], layer

    def shape(length: int) -> tuple[int, ...]:
        return HEADS, length, HEAD_DIM

    return attention(
        name, "reformer-pytorch", make, shape=shape, causal=False, dtype=dtype, longest=longest, rounds=rounds
    )


def transformers_lsh(
    name: str, *, rounds: int, dtype: torch.dtype = torch.float32, longest: int = NO_LIMIT
) -> Contender:
    """transformers' LSHSelfAttention between its projections: hashing, sorting, gathering, attention over the own
    chunk and one before, and the way back."""

    def make(length: int) -> tuple[Core, nn.Module]:
        layer = _lsh_self_attention(length, rounds)

        def core(query_key: Tensor, value: Tensor) -> Tensor:
            layer.query_key.vectors, layer.value.vectors = query_key, value
            # Of the hidden states only the shape is read once the projections are replaced.
            return layer(torch.empty(0).expand(1, query_key.shape[1], 0)).hidden_states

        return core, layer

    def shape(length: int) -> tuple[int, ...]:
        return 1, length, HEADS * HEAD_DIM

    return attention(name, "transformers", make, shape=shape, causal=False, dtype=dtype, longest=longest, rounds=rounds)


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


def _lsh_self_attention(length: int, rounds: int) -> Any:
    from transformers.models.reformer.configuration_reformer import ReformerConfig
    from transformers.models.reformer.modeling_reformer import LSHSelfAttention

    layer: Any = LSHSelfAttention(
        ReformerConfig(
            attention_head_size=HEAD_DIM,
            hidden_size=HEADS * HEAD_DIM,
            num_attention_heads=HEADS,
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
