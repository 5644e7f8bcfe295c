"""Replay of a sub-layer: the draws and decisions that are repeated when the reversible backward pass runs it again."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from reformer.ops.draws import generator


class Replay:
    """Draws and decisions of one run of one sub-layer: its dropout, and values kept from the first run.

    A reconstructed input differs from the original by rounding. Whatever would turn that into a large difference,
    such as the bucket of a token near a boundary, is kept; dropout is drawn again from a seed of its own, so the
    global random state is neither read nor set.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self._draws = 0
        self._kept: dict[str, Tensor] = {}
        self._prefix = ""

    def rewind(self) -> "Replay":
        """Start again from the first draw, before the sub-layer runs again."""
        self._draws = 0
        return self

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
        own = torch.Generator(hidden.device).manual_seed(self.seed + self._draws)
        self._draws += 1
        # One draw of 64 bits decides for four elements, to a 65,536th: a draw for each costs more than attention.
        bits = torch.empty(-(-hidden.numel() // 4), dtype=torch.int64, device=hidden.device)
        chances = bits.random_(-(1 << 63), None, generator=own).view(torch.int16)[: hidden.numel()]
        kept = max(1, round((1 - probability) * 65536))
        mask = (chances < kept - 32768).view(hidden.shape)
        return hidden * mask.to(hidden.dtype).mul_(65536 / kept)


def replays(sublayers: Sequence[nn.Module], *, training: bool) -> list[Replay]:
    """One replay for each sub-layer of a stack. In training, if any of them drops out, the seeds of all are drawn from
    the global generator, or that of the thread."""
    if not training or not any(getattr(sublayer, "dropout", 0) > 0 for sublayer in sublayers):
        return [Replay() for _ in sublayers]
    first = int(torch.randint(1 << 48, (), generator=generator()))
    return [Replay(first + (index << 8)) for index in range(len(sublayers))]
