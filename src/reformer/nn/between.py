"""The streams between the layers of a stack, where they are asked for."""

import torch
from torch import Tensor


class Between:
    """Collects the streams before the first layer and after each, side by side.

    What it is given goes on from there: the streams that it returns are parts of what it holds, so that a gradient of
    the output reaches every one of these, and not the weights alone.

    Args:
        sublayers: how many a layer has.
    """

    def __init__(self, sublayers: int) -> None:
        self._sublayers, self._count = sublayers, 0
        self._found: list[Tensor] = []

    def begin(self, *streams: Tensor) -> tuple[Tensor, ...]:
        """The streams before the first layer, with which it is to be run."""
        self._found.append(torch.cat(streams, -1))
        return self._found[-1].chunk(len(streams), -1)

    def add(self, *streams: Tensor) -> tuple[Tensor, ...]:
        """The streams after the next sub-layer, with which the one behind it is to be run."""
        self._count += 1
        return self.begin(*streams) if self._count % self._sublayers == 0 else streams

    def states(self, last: Tensor) -> tuple[Tensor, ...]:
        """All of them, `last` in the place of those after the last layer."""
        return *self._found[:-1], last


def check_whole(between: Between | None) -> None:
    """Refuse to collect in a pass that leaves out layers."""
    if between is not None:
        raise ValueError("output_hidden_states in training with layer_drop: layers are left out; set one of them off")
