"""The core of reformer-pytorch's LSHSelfAttention: its LSHAttention."""

import torch
from torch import Tensor, nn

from benchmarks.case import Action, Contender
from benchmarks.contenders.vectors import (
    CHECK_LENGTH,
    HEAD_DIM,
    WINDOW,
    core_actions,
    finite_and_causal,
    random_leaves,
)


def reformer_pytorch_lsh(
    name: str, *, rounds: int, heads: int = 8, dtype: torch.dtype = torch.float32, longest: int = 1 << 62
) -> Contender:
    """Hashing, sorting, gathering, attention over the own bucket and one before, and the way back; heads stand in
    the batch already, as it wants them."""

    def build(length: int) -> dict[str, Action]:
        leaves = random_leaves(heads, length, HEAD_DIM, dtype=dtype)
        layer = _layer(rounds)
        return core_actions(lambda: _core(layer, *leaves), leaves, layer)

    def check() -> str:
        layer = _layer(rounds)
        leaves = random_leaves(heads, CHECK_LENGTH, HEAD_DIM, dtype=dtype)
        return finite_and_causal(lambda *given: _core(layer, *given), leaves, 1, must_be_causal=False)

    options = {"rounds": rounds, "heads": heads, "dtype": str(dtype).removeprefix("torch.")}
    return Contender(name, "reformer-pytorch", build, check, options, longest)


def _layer(rounds: int) -> nn.Module:
    # Imported here, so that the other contenders can be measured where it is missing.
    from reformer_pytorch import LSHAttention

    return LSHAttention(bucket_size=WINDOW, n_hashes=rounds, causal=True)


def _core(layer: nn.Module, query_key: Tensor, value: Tensor) -> Tensor:
    return layer(query_key, value)[0]
