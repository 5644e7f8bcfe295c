"""Replay of a sub-layer: the draws and decisions that are repeated when the reversible backward pass runs it again."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from reformer.ops.draws import generator, seed_of_part


class Replay:
    """Draws and decisions of one run of one sub-layer: its dropout, and values kept from the first run.

    A reconstructed input differs from the original by rounding. Whatever would turn that into a large difference,
    such as the bucket of a token near a boundary, is kept; dropout is drawn again from a seed of its own, so the
    global random state is neither read nor set.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self._draws = self._inner_draws = 0
        self._kept: dict[str, Tensor] = {}
        self._prefix = ""

    def rewind(self) -> "Replay":
        """Start again from the first draw, before the sub-layer runs again."""
        self._draws = self._inner_draws = 0
        return self

    def kept(self, name: str) -> Tensor | None:
        """The value that an earlier run has kept under this name."""
        return self._kept.get(self._prefix + name)

    def keep(self, name: str, compute: Callable[[], Tensor]) -> Tensor:
        """The value computed under this name in the first run."""
        name = self._prefix + name
        if name not in self._kept:
            self._kept[name] = compute()
        return self._kept[name]

    def part(self, name: str) -> "Replay":
        """Replay of a part of the sub-layer, which keeps values under names of its own and has no dropout."""
        part = Replay()
        part._kept, part._prefix = self._kept, f"{self._prefix}{name}."
        return part

    def dropout(self, hidden: Tensor, probability: float) -> Tensor:
        """Dropout that is equal in every run; none without a seed."""
        if self.seed is None or probability == 0:
            return hidden
        if torch.compiler.is_compiling():
            # Nothing is run again there, and a compiled graph draws by itself.
            return nn.functional.dropout(hidden, probability)
        self._draws += 1
        return _dropped(hidden, probability, self.seed + self._draws - 1)

    def within(self, sublayer: nn.Module) -> AbstractContextManager[Any]:
        """Where modules that an adapter has put into the sub-layer drop out, let their dropout be equal in every run,
        too; otherwise nothing. Their draws are counted apart: a run may make them for some tokens at a time."""
        # As above: what is compiled draws by itself.
        is_replayed = self.seed is not None and not torch.compiler.is_compiling() and drops_within(sublayer)
        return _Replayed(self) if is_replayed else nullcontext()

    def inner_dropout(self, hidden: Tensor, probability: float) -> Tensor:
        """Dropout of a module inside of the sub-layer."""
        assert self.seed is not None
        self._inner_draws += 1
        return _dropped(hidden, probability, (self.seed + (self._inner_draws << 50)) % (1 << 63))


class _Replayed(TorchFunctionMode):
    """While it lasts, PyTorch's dropout is that of a replay."""

    def __init__(self, replay: Replay) -> None:
        super().__init__()
        self._replay = replay

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return (self._dropout if func is nn.functional.dropout else func)(*args, **(kwargs or {}))

    def _dropout(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        return self._replay.inner_dropout(input, p) if training and p > 0 else input


def drops_within(sublayer: nn.Module) -> bool:
    """Whether a module of the sub-layer drops out, beside the sub-layer's own dropout."""
    return any(isinstance(module, nn.Dropout) and module.training and module.p > 0 for module in sublayer.modules())


def _dropped(hidden: Tensor, probability: float, seed: int) -> Tensor:
    own = torch.Generator(hidden.device).manual_seed(seed)
    # One draw of 64 bits decides for four elements, to a 65,536th: a draw for each costs more than attention.
    bits = torch.empty(-(-hidden.numel() // 4), dtype=torch.int64, device=hidden.device)
    chances = bits.random_(-(1 << 63), None, generator=own).view(torch.int16)[: hidden.numel()]
    kept = max(1, round((1 - probability) * 65536))
    mask = (chances < kept - 32768).view(hidden.shape)
    return hidden * mask.to(hidden.dtype).mul_(65536 / kept)


def replays(sublayers: Sequence[nn.Module], *, training: bool, process: int | None = None) -> list[Replay]:
    """One replay for each sub-layer of a stack. In training, if any of them drops out, or a module in it, the seeds of
    all are drawn from the global generator, or that of the thread. Where several processes, which draw the same, hold
    parts of the same rows, each has seeds of its own."""
    if not training or not any(getattr(each, "dropout", 0) > 0 or drops_within(each) for each in sublayers):
        return [Replay() for _ in sublayers]
    if torch.compiler.is_compiling():
        return [Replay(0) for _ in sublayers]
    first = int(torch.randint(1 << 48, (), generator=generator()))
    first = first if process is None else seed_of_part(first, process)
    return [Replay(first + (index << 8)) for index in range(len(sublayers))]
