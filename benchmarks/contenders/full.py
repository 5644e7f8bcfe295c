"""Full causal attention by torch's scaled_dot_product_attention."""

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.case import Action, Contender
from benchmarks.contenders.vectors import CHECK_LENGTH, HEAD_DIM, core_actions, finite_and_causal, random_leaves


def full(
    name: str,
    *,
    heads: int = 8,
    dtype: torch.dtype = torch.float32,
    kernel: SDPBackend | None = None,
    longest: int = 1 << 62,
) -> Contender:
    """Queries and keys are one tensor here too; heads stand before tokens already, as it is fastest.

    Args:
        kernel: which of torch's kernels; the one that torch chooses if not given.
    """

    def core(query_key: Tensor, value: Tensor) -> Tensor:
        if kernel is None:
            return scaled_dot_product_attention(query_key, query_key, value, is_causal=True)
        with sdpa_kernel(kernel):
            return scaled_dot_product_attention(query_key, query_key, value, is_causal=True)

    def build(length: int) -> dict[str, Action]:
        leaves = random_leaves(1, heads, length, HEAD_DIM, dtype=dtype)
        return core_actions(lambda: core(*leaves), leaves, nn.Identity())

    def check() -> str:
        leaves = random_leaves(1, heads, CHECK_LENGTH, HEAD_DIM, dtype=dtype)
        return finite_and_causal(core, leaves, 2, must_be_causal=True)

    options = {"heads": heads, "dtype": str(dtype).removeprefix("torch.")}
    return Contender(name, "full", build, check, options, longest)
