"""Who is measured on a card: ours, torch's attention by each of its kernels, FlexAttention, and the other Reformers."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from benchmarks.case import Action, Contender, ContractError
from benchmarks.contenders.full import full
from benchmarks.contenders.ours import ours
from benchmarks.contenders.reformer_pytorch_lsh import reformer_pytorch_lsh
from benchmarks.contenders.transformers_lsh import transformers_lsh
from benchmarks.contenders.vectors import CHECK_LENGTH, HEAD_DIM, WINDOW, core_actions, random_leaves
from reformer.ops import position_slots, window_attention

HEADS = 8
DTYPE = torch.bfloat16
TOLERANCE = 3e-2
"""How far from the definition in float64, as a part of its greatest number."""

FORWARD, BOTH, GRAPH = "forward", "forward+backward", "forward in a CUDA graph"
ACTIONS = (FORWARD, BOTH, GRAPH)

SDPA = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cuDNN": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}
BLOCK = 128
"""FlexAttention's blocks; a window of no more ends in the block before."""


def contenders(backend: str = "triton") -> list[Contender]:
    """Everybody, 8 heads of 64, causal, bfloat16."""
    hashed = [
        replace(ours(_rounds("ours", rounds), rounds=rounds, backend=backend, dtype=DTYPE), family="ours")
        for rounds in (1, 4)
    ]
    torch_full = [full(f"full attention, {name}", dtype=DTYPE, kernel=kernel) for name, kernel in SDPA.items()]
    others = [
        make(_rounds(name, rounds), rounds=rounds, dtype=DTYPE)
        for name, make in (("transformers", transformers_lsh), ("reformer-pytorch", reformer_pytorch_lsh))
        for rounds in (1, 4)
    ]
    return [
        *map(_also_in_a_graph, hashed),
        *map(_also_in_a_graph, torch_full),
        local("ours, local window", "ours, local", partial(_our_window, backend)),
        local("FlexAttention, local window", "flex", _flex_window),
        *others,
    ]


def _rounds(name: str, rounds: int) -> str:
    return name if rounds == 1 else f"{name}, {rounds} rounds"


Core = Callable[[Tensor, Tensor], Tensor]


def local(name: str, family: str, make: Callable[[int], Core]) -> Contender:
    """Causal attention over the last 64 positions, heads before tokens.

    Args:
        make: a length to the core; what does not depend on the vectors is made here.
    """

    def build(length: int) -> dict[str, Action]:
        leaves, core = random_leaves(1, HEADS, length, HEAD_DIM, dtype=DTYPE), make(length)
        return core_actions(lambda: core(*leaves), leaves, nn.Identity())

    def check() -> str:
        given = random_leaves(1, HEADS, CHECK_LENGTH, HEAD_DIM, dtype=DTYPE)
        exact = tuple(leaf.detach().double().requires_grad_() for leaf in given)
        output, expected = make(CHECK_LENGTH)(*given), _our_window("reference", CHECK_LENGTH)(*exact)
        grad = torch.randn_like(output)
        found = [output, *torch.autograd.grad(output, given, grad)]
        wanted = [expected, *torch.autograd.grad(expected, exact, grad.double())]
        pairs = zip(found, wanted, strict=True)
        error = max(float((a - b).detach().abs().max() / b.detach().abs().max()) for a, b in pairs)
        if not error < TOLERANCE:
            raise ContractError(f"{error:.1e} from the reference, at most {TOLERANCE:.0e} is allowed")
        return f"{error:.1e} from the reference, values and gradients, at length {CHECK_LENGTH}"

    return Contender(name, family, build, check, {"heads": HEADS, "dtype": "bfloat16"})


def _our_window(backend: str, length: int) -> Core:
    slots = position_slots(torch.ones(1, length, dtype=torch.bool))

    def core(query_key: Tensor, value: Tensor) -> Tensor:
        return window_attention(query_key, query_key, value, slots, window=WINDOW, causal=True, backend=backend)

    return core


def _flex_window(length: int) -> Core:
    mask = block_mask(length)
    # Without a card its own definition runs, which is quadratic.
    attend: Any = torch.compile(flex_attention, dynamic=False) if torch.cuda.is_available() else flex_attention

    def core(query_key: Tensor, value: Tensor) -> Tensor:
        return attend(query_key, query_key, value, block_mask=mask)

    return core


def block_mask(length: int) -> BlockMask:
    """Each block of queries sees its own block of keys and the one before; made without looking at all pairs."""
    blocks = -(-length // BLOCK)
    own = torch.arange(blocks, dtype=torch.int32)
    indices = torch.zeros(1, 1, blocks, blocks, dtype=torch.int32)
    indices[..., 0], indices[..., 1:2] = (own - 1).clamp_min(0), own[:, None]
    count = torch.full((1, 1, blocks), min(2, blocks), dtype=torch.int32)
    count[..., 0] = 1
    return BlockMask.from_kv_blocks(count, indices, BLOCK_SIZE=BLOCK, mask_mod=_near, seq_lengths=(length, length))


def _near(_: Tensor, __: Tensor, query: Tensor, key: Tensor) -> Tensor:
    return (query >= key) & (query - key < WINDOW)


def _also_in_a_graph(contender: Contender) -> Contender:
    """With the forward pass replayed from a graph, which costs no launches: at short lengths these are most of it."""

    def build(length: int) -> dict[str, Action]:
        actions = contender.build(length)
        return actions | {GRAPH: Action(_replay, partial(_captured, actions[FORWARD]))}

    return replace(contender, build=build)


def _captured(forward: Action) -> torch.cuda.CUDAGraph:
    given, stream = forward.prepare(), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            forward.run(given)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        forward.run(given)
    return graph


def _replay(graph: torch.cuda.CUDAGraph) -> None:
    graph.replay()
