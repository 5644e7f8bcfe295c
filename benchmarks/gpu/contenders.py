"""The contenders on a GPU: ours, torch's attention by each of its kernels, FlexAttention, and the other Reformers."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from benchmarks.case import Action, Contender
from benchmarks.contenders.ours import TOLERANCE, ours
from benchmarks.contenders.peers import full, reformer_pytorch_lsh, transformers_lsh
from benchmarks.contenders.vectors import (
    CHECK_LENGTH,
    HEAD_DIM,
    HEADS,
    WINDOW,
    Core,
    core_actions,
    error_from,
    random_leaves,
)
from reformer.ops import position_slots, window_attention

DTYPE = torch.bfloat16

FORWARD, GRAPH, BOTH = "forward", "forward in a CUDA graph", "forward+backward"
ACTIONS = (FORWARD, GRAPH, BOTH)

SDPA = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cuDNN": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}
BLOCK = 128
"""FlexAttention's blocks; a window of no more ends in the block before."""


def gpu_attention() -> list[Contender]:
    """Everybody, 8 heads of 64, causal, bfloat16."""
    in_a_graph = [
        *(ours(_rounds("ours", rounds), rounds=rounds, backend="triton", dtype=DTYPE) for rounds in (1, 4)),
        *(full(f"full attention, {name}", dtype=DTYPE, kernel=kernel) for name, kernel in SDPA.items()),
    ]
    others = [
        make(_rounds(name, rounds), rounds=rounds, dtype=DTYPE)
        for name, make in (("transformers", transformers_lsh), ("reformer-pytorch", reformer_pytorch_lsh))
        for rounds in (1, 4)
    ]
    alone = [
        local("ours, local window", "ours, local", partial(our_window, "triton")),
        local("FlexAttention, local window", "flex", flex_window),
        *others,
    ]
    return [*map(_also_in_a_graph, in_a_graph), *(replace(each, longest={GRAPH: 0}) for each in alone)]


def _rounds(name: str, rounds: int) -> str:
    return name if rounds == 1 else f"{name}, {rounds} rounds"


def local(name: str, family: str, make: Callable[[int], Core]) -> Contender:
    """Causal attention over the last 64 positions, heads before tokens.

    Args:
        make: a length to the core; what does not depend on the vectors is made here.
    """

    def leaves(length: int) -> tuple[Tensor, Tensor]:
        return random_leaves(1, HEADS, length, HEAD_DIM, dtype=DTYPE)

    def build(length: int) -> dict[str, Action]:
        return core_actions(make(length), leaves(length))

    def check() -> str:
        exact = our_window("reference", CHECK_LENGTH)
        return error_from(make(CHECK_LENGTH), exact, leaves(CHECK_LENGTH), TOLERANCE[DTYPE])

    return Contender(name, family, build, check, {"heads": HEADS, "dtype": "bfloat16"})


def our_window(backend: str, length: int) -> Core:
    slots = position_slots(torch.ones(1, length, dtype=torch.bool))

    def core(query_key: Tensor, value: Tensor) -> Tensor:
        return window_attention(query_key, query_key, value, slots, window=WINDOW, causal=True, backend=backend)

    return core


def flex_window(length: int) -> Core:
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
    return BlockMask.from_kv_blocks(count, indices, BLOCK_SIZE=BLOCK, mask_mod=near, seq_lengths=(length, length))


def near(_: Tensor, __: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """Whether a key is in the window of a query."""
    return (query >= key) & (query - key < WINDOW)


def _also_in_a_graph(contender: Contender) -> Contender:
    """With the forward pass replayed from a graph, which costs no launches: at short lengths these are most of it."""

    def build(length: int) -> dict[str, Action]:
        actions = contender.build(length)
        return actions | {GRAPH: Action(lambda graph: graph.replay(), partial(_captured, actions[FORWARD]))}

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
