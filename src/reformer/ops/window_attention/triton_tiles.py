"""Tile sizes of the Triton kernels: chosen by width, dtype and window, or measured before on this card.

No call measures by itself: its time and its last bits would depend on whether it is the first. `tune` measures a few
candidates and keeps the best in a file, under the names of the card and of torch's version.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from reformer.errors import ReformerError
from reformer.files import make_folders, write
from reformer.ops import gpu

FILE = "REFORMER_TRITON_TILES"
"""The environment variable that names the file of measured tile sizes."""


Query = Float[Tensor, "batch heads queries head_dim"]


@dataclass(frozen=True)
class Tiling:
    """Tile sizes of a kernel: queries (`tile`) and `keys` at a time, warps, and stages of the pipeline of loads."""

    tile: int
    keys: int
    warps: int
    stages: int

    def arguments(self) -> dict[str, int]:
        """The keyword arguments of a launch."""
        return {"tile": self.tile, "keys": self.keys, "num_warps": self.warps, "num_stages": self.stages}


def tiling(kernel: str, query: Query, window: int) -> Tiling:
    """The measured or default tile sizes of "forward", "backward_queries" or "backward_keys"."""
    measured = _measured().get(_key(kernel, query, window))
    return default(kernel, query, window) if measured is None else measured


def default(kernel: str, query: Query, window: int) -> Tiling:
    """Tile sizes that fit into registers and shared memory from compute capability 8.0 on, as the compiler says."""
    size, wide = query.element_size(), gpu.next_power_of_2(query.shape[-1], 16)
    # A product of float32 is three, whose parts take the space of a second tile.
    side = 64 if size < 4 and wide <= 128 else 32
    keys = min(side, gpu.next_power_of_2(window, 32))
    backward = kernel != "forward"
    if size * wide > 512:
        side = keys = 16 if backward or size == 8 else 32
    if kernel == "backward_keys" and wide > 64:
        # With more keys the gradients of wide vectors spill out of the registers.
        keys = min(keys, 32)
    return Tiling(side, keys, 8 if wide > 128 or (backward and wide > 64) else 4, 2)


def candidates(kernel: str, query: Query, window: int) -> list[Tiling]:
    """Tile sizes to measure: the default first, then tiles of half and of twice the size, other warps and stages."""
    chosen = default(kernel, query, window)
    sides = sorted({max(16, chosen.tile // 2), chosen.tile, min(128, 2 * chosen.tile)})
    widths = sorted({max(16, chosen.keys // 2), chosen.keys, min(128, 2 * chosen.keys)})
    shapes = [Tiling(side, keys, chosen.warps, 2) for side in sides for keys in widths]
    shapes += [Tiling(chosen.tile, chosen.keys, warps, 2) for warps in (2, 4, 8) if warps != chosen.warps]
    shapes += [Tiling(chosen.tile, chosen.keys, chosen.warps, stages) for stages in (1, 3)]
    return [chosen, *(shape for shape in shapes if shape != chosen)]


def tune(kernel: str, query: Query, window: int, seconds: Callable[[], float]) -> Tiling:
    """Measure the candidates and keep the best in the file; candidates that do not fit on the card are skipped.

    Args:
        seconds: runs a call that launches the kernel for this window, and returns its time.

    Raises:
        ReformerError: no candidate fits on the card, or the file cannot be read.
    """
    key, table = _key(kernel, query, window), _measured()
    kept = table.get(key)
    times: dict[Tiling, float] = {}
    for shape in candidates(kernel, query, window):
        table[key] = shape
        try:
            times[shape] = seconds()
        except Exception as error:
            if type(error).__name__ not in ("OutOfResources", "PTXASError"):
                if kept is not None:
                    table[key] = kept
                raise
    if not times:
        raise ReformerError(f"{kernel}: none of the candidates for {key} fits on {torch.cuda.get_device_name()}")
    best = table[key] = min(times, key=lambda shape: times[shape])
    _write(table)
    return best


def _key(kernel: str, query: Query, window: int) -> str:
    """The key of a tiling in the file: windows by their power of two, from 16 to 1024."""
    dtype = str(query.dtype).removeprefix("torch.")
    return f"{kernel} {dtype} {gpu.next_power_of_2(query.shape[-1], 16)} {min(1024, gpu.next_power_of_2(window, 16))}"


def _file() -> Path | None:
    path = os.environ.get(FILE)
    return Path(path) if path else None


def _card() -> str:
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{name}, torch {torch.__version__}"


@cache
def _measured() -> dict[str, Tiling]:
    """The entries of the file for this card; none without a file."""
    path = _file()
    if path is None or not path.exists():
        return {}
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return {key: Tiling(**shape) for key, shape in held.get(_card(), {}).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise ReformerError(
            f"{FILE}={path}: expected the JSON that `tune` writes ({error}); remove the file, or leave the variable out"
        ) from error


def _write(table: dict[str, Tiling]) -> None:
    path = _file()
    if path is None:
        return
    held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    held[_card()] = {key: asdict(shape) for key, shape in table.items()}
    make_folders(path.parent)
    write(path, (json.dumps(held, indent=1) + "\n").encode())
