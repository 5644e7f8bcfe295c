"""How large the tiles of the GPU's kernels are: chosen by width, dtype and window, or measured before on this card.

No call measures by itself: its time and its last bits would depend on having been the first. `tune` measures a few
candidates and keeps the best in a file, for the card and the versions it was found with.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reformer.errors import ReformerError
from reformer.files import replaced
from reformer.ops import gpu

FILE = "REFORMER_TRITON_TILES"
"""The environment variable that names the file with what was measured."""


@dataclass(frozen=True)
class Tiling:
    """How a kernel is cut: `tile` queries and `keys` keys at a time, by so many warps, with so many loads under way."""

    tile: int
    keys: int
    warps: int
    stages: int

    def arguments(self) -> dict[str, int]:
        """As a launch takes them."""
        return {"tile": self.tile, "keys": self.keys, "num_warps": self.warps, "num_stages": self.stages}


def tiling(kernel: str, query: Tensor, window: int) -> Tiling:
    """For one of "forward", "backward_queries", "backward_keys"."""
    found = _measured().get(_key(kernel, query, window))
    return default(kernel, query, window) if found is None else found


def default(kernel: str, query: Tensor, window: int) -> Tiling:
    """What fits into registers and shared memory of compute capability 8.0 and later, by the compiler's account."""
    size, wide = query.element_size(), gpu.power(query.shape[-1], 16)
    # float32's products are three each, and their parts take the room of a second tile.
    side = 64 if size < 4 and wide <= 128 else 32
    keys = min(side, gpu.power(window, 32))
    backward = kernel != "forward"
    if size * wide > 512:
        side = keys = 16 if backward or size == 8 else 32
    if kernel == "backward_keys" and wide > 64:
        # With more at a time the gradients of wide vectors do not stay in registers.
        keys = min(keys, 32)
    return Tiling(side, keys, 8 if wide > 128 or (backward and wide > 64) else 4, 2)


def candidates(kernel: str, query: Tensor, window: int) -> list[Tiling]:
    """What is worth measuring: the default first, then tiles of half and of twice the size, and other warps."""
    chosen = default(kernel, query, window)
    sides = sorted({max(16, chosen.tile // 2), chosen.tile, min(128, 2 * chosen.tile)})
    widths = sorted({max(16, chosen.keys // 2), chosen.keys, min(128, 2 * chosen.keys)})
    shapes = [Tiling(side, keys, chosen.warps, 2) for side in sides for keys in widths]
    shapes += [Tiling(chosen.tile, chosen.keys, warps, 2) for warps in (2, 4, 8) if warps != chosen.warps]
    shapes += [Tiling(chosen.tile, chosen.keys, chosen.warps, stages) for stages in (1, 3)]
    return [chosen, *(shape for shape in shapes if shape != chosen)]


def tune(kernel: str, query: Tensor, window: int, seconds: Callable[[], float]) -> Tiling:
    """Measure the candidates and keep the best in the file; those that do not fit on the card are passed over.

    Args:
        seconds: runs a call in which the kernel is launched for this window, and says how long it took.
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


def _key(kernel: str, query: Tensor, window: int) -> str:
    """What a tiling holds for: windows by their power of two, from 16 to 1024."""
    dtype = str(query.dtype).removeprefix("torch.")
    return f"{kernel} {dtype} {gpu.power(query.shape[-1], 16)} {min(1024, gpu.power(window, 16))}"


def _file() -> Path | None:
    given = os.environ.get(FILE)
    return Path(given) if given else None


def _card() -> str:
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{name}, torch {torch.__version__}"


@cache
def _measured() -> dict[str, Tiling]:
    """What the file holds for this card; nothing without a file."""
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
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as file:
        file.write((json.dumps(held, indent=1) + "\n").encode())
