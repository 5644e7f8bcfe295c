"""What this machine can do at most: torch's matrix products."""

from collections.abc import Sequence

import torch

from benchmarks.case import Action, Contender, ContractError

SIDE = 2048
TILES = (16, 256, 2048)
"""How many tiles a batched product has: in the cache, near it, far from it. The best counts as the peak."""


def machine_products(dtypes: Sequence[torch.dtype] = (torch.float32,)) -> list[Contender]:
    """`torch.mm` of two squares, and `torch.bmm` of `[64 x 64] x [64 x 128]` tiles."""
    found = []
    for dtype in dtypes:
        short = str(dtype).removeprefix("torch.")
        found.append(_product(f"torch.mm {short}", dtype, (SIDE, SIDE), (SIDE, SIDE)))
        for tiles in TILES:
            name = f"torch.bmm {short}, {tiles} tiles"
            found.append(_product(name, dtype, (tiles, 64, 64), (tiles, 64, 128)))
    return found


def _product(name: str, dtype: torch.dtype, left: tuple[int, ...], right: tuple[int, ...]) -> Contender:
    def build(length: int) -> dict[str, Action]:
        a, b = torch.randn(left).to(dtype), torch.randn(right).to(dtype)
        out = torch.empty(*left[:-1], right[-1], dtype=dtype)
        flops = 2 * out.numel() * left[-1]
        return {"product": Action(lambda _: _into(out, a, b), facts={"flops": flops})}

    def check() -> str:
        a, b = torch.randn(left).to(dtype), torch.randn(right).to(dtype)
        error = float((a @ b - (a.double() @ b.double())).abs().max())
        if error > 1:
            raise ContractError(f"the product is off by {error:.1e}")
        return f"off by at most {error:.1e} from float64"

    return Contender(name, "machine", build, check, {"dtype": str(dtype).removeprefix("torch.")})


def _into(out: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    torch.matmul(a, b, out=out)
