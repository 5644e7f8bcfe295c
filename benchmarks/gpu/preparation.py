"""The kernels' contract on this GPU, and the choice of their tilings."""

import statistics
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from benchmarks.case import Action, Contender, ContractError
from benchmarks.contenders.ours import Hashed, ours
from benchmarks.contenders.vectors import HEADS, short_name
from benchmarks.gpu import contract
from benchmarks.gpu.contenders import BOTH, DTYPE, FORWARD
from benchmarks.worker import take_turn
from reformer.ops import gpu
from reformer.ops.window_attention import triton_tiles

CHECKED_LENGTH = 700
"""Several tiles of every size, and a last one that is not full."""

INTERPRETED_LENGTH = 70

KERNELS = ("forward", "backward_queries", "backward_keys")


def kernel_contracts() -> list[Contender]:
    """The calls of the contract in each dtype; in the interpreter, which is slow and exact, in float32 alone."""
    dtypes = [torch.float32] if gpu.INTERPRETED else list(contract.BOUNDS)
    return [
        Contender(f"kernels in {short_name(dtype)}", "ours", lambda _: {}, partial(_check, dtype)) for dtype in dtypes
    ]


def _check(dtype: torch.dtype) -> str:
    """Every option of the operation; an error names each call that does not hold."""
    length, head_dim = (INTERPRETED_LENGTH, 16) if gpu.INTERPRETED else (CHECKED_LENGTH, 64)
    device = torch.get_default_device().type
    bound, errors, broken = contract.BOUNDS[dtype], [], []
    for call in contract.calls(length, head_dim):
        try:
            errors.append(contract.error(call, dtype, device))
            if not errors[-1] < bound:
                broken.append(f"{call}: {errors[-1]:.1e}")
        except Exception as error:
            # A kernel that does not compile on this GPU must not hide how the other calls do.
            broken.append(f"{call}: {type(error).__name__}: {str(error)[:300]}")
    if broken:
        raise ContractError(
            f"beyond {bound:.0e} from the reference: {'; '.join(broken)}. {triton_tiles.FILE}, if set, may "
            "name tilings of another GPU"
        )
    return f"{max(errors):.1e} from the reference at most, values and gradients, in {len(errors)} calls"


def tiles() -> Contender:
    """The tilings of `gpu-attention`, found among a few candidates and kept in `REFORMER_TRITON_TILES`."""

    def build(length: int) -> dict[str, Action]:
        hashed = Hashed(length, HEADS, 1, "triton", DTYPE)
        return {kernel: Action(lambda _, kernel=kernel: _tune(hashed, kernel)) for kernel in KERNELS}

    return replace(ours("ours", rounds=1, backend="triton", dtype=DTYPE), build=build)


def _tune(hashed: Hashed, kernel: str) -> dict[str, Any]:
    query = hashed.split(hashed.leaves[0])
    action = hashed.actions()[FORWARD if kernel == "forward" else BOTH]
    tried: list[dict[str, Any]] = []

    def seconds() -> float:
        shape = triton_tiles.tiling(kernel, query, 64)
        # The first call compiles.
        take_turn(action, at_least=0)
        taken = statistics.median(take_turn(action, 0.05).seconds[-1] for _ in range(3))
        tried.append({**shape.arguments(), "seconds": taken})
        return taken

    best = triton_tiles.tune(kernel, query, 64, seconds)
    return {"chosen": best.arguments(), "tried": tried}
