"""Full causal attention by torch's scaled_dot_product_attention."""

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.case import Action, Contender
from benchmarks.contenders.vectors import CHECK_LENGTH, HEAD_DIM, core_actions, finite_and_causal, random_leaves


def full(name: str, *, heads: int = 8, longest: int = 1 << 62) -> Contender:
    """Queries and keys are one tensor here too; heads stand before tokens already, as it is fastest."""

    def build(length: int) -> dict[str, Action]:
        leaves = random_leaves(1, heads, length, HEAD_DIM)
        return core_actions(lambda: _core(*leaves), leaves, nn.Identity())

    def check() -> str:
        leaves = random_leaves(1, heads, CHECK_LENGTH, HEAD_DIM)
        return finite_and_causal(_core, leaves, 2, must_be_causal=True)

    return Contender(name, "full", build, check, {"heads": heads, "dtype": "float32"}, longest)


def _core(query_key: Tensor, value: Tensor) -> Tensor:
    return scaled_dot_product_attention(query_key, query_key, value, is_causal=True)
