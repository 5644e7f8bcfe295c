"""The limits of this machine: torch's matrix products, and on a GPU its copies too."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from benchmarks.case import NO_LIMIT, Action, Contender, ContractError
from benchmarks.contenders.vectors import short_name

SIDE = 2048
TILES = (16, 256, 2048)
"""Tiles of a batched product: in the cache, near it, far from it. The best counts as the peak."""

GPU_SIDE = 8192
COPIED = 1 << 30
"""Bytes that are copied to find the bandwidth; far more than any cache holds."""


def machine_products(dtypes: Sequence[torch.dtype] = (torch.float32,)) -> list[Contender]:
    """`torch.mm` of two squares, and `torch.bmm` of `[64 x 64] x [64 x 128]` tiles."""
    found = []
    for dtype in dtypes:
        found.append(_product(f"torch.mm {short_name(dtype)}", dtype, (SIDE, SIDE), (SIDE, SIDE)))
        for tiles in TILES:
            name = f"torch.bmm {short_name(dtype)}, {tiles} tiles"
            found.append(_product(name, dtype, (tiles, 64, 64), (tiles, 64, 128)))
    return found


def gpu_limits(length: int) -> list[Contender]:
    """A product of two squares in bfloat16, and a copy, measured at one length of the case alone."""

    def build(_: int) -> dict[str, Action]:
        given, made = (torch.ones(COPIED // 2, dtype=torch.bfloat16) for _ in range(2))
        return {"copy": Action(_silent(lambda: made.copy_(given)), facts={"bytes": 2 * COPIED})}

    def check() -> str:
        return f"{COPIED:,} bytes are read and written"

    square = (GPU_SIDE, GPU_SIDE)
    return [
        _product("torch.mm bfloat16", torch.bfloat16, square, square, longest=length),
        Contender("torch copy", "machine", build, check, {"dtype": "bfloat16"}, length),
    ]


def _product(
    name: str, dtype: torch.dtype, left: tuple[int, ...], right: tuple[int, ...], longest: int = NO_LIMIT
) -> Contender:
    def build(_: int) -> dict[str, Action]:
        a, b = torch.randn(left).to(dtype), torch.randn(right).to(dtype)
        out = torch.empty(*left[:-1], right[-1], dtype=dtype)
        run = _silent(lambda: torch.matmul(a, b, out=out))
        return {"product": Action(run, facts={"flops": 2 * out.numel() * left[-1]})}

    def check() -> str:
        a, b = torch.randn(left).to(dtype), torch.randn(right).to(dtype)
        exact = a.double() @ b.double()
        error = float((a @ b - exact).abs().max() / exact.abs().max())
        if not error < 1e-2:
            raise ContractError(f"the product is off by {error:.1e} of its greatest number")
        return f"off by at most {error:.1e} of the greatest number in float64"

    return Contender(name, "machine", build, check, {"dtype": short_name(dtype)}, longest)


def _silent(run: Callable[[], Tensor]) -> Callable[[None], None]:
    """An action has facts to return, or nothing."""

    def call(_: None) -> None:
        run()

    return call
