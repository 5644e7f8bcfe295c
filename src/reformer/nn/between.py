"""The streams between the layers of a stack, where they are asked for."""

import torch
from torch import Tensor


class Between:
    """Collects the streams after each layer, side by side.

    Args:
        sublayers: how many a layer has.
    """

    def __init__(self, sublayers: int) -> None:
        self._sublayers, self._count = sublayers, 0
        self.after_layers: list[Tensor] = []

    def add(self, *streams: Tensor) -> None:
        """The streams after the next sub-layer."""
        self._count += 1
        if self._count % self._sublayers == 0:
            self.after_layers.append(torch.cat(streams, -1))


def check_whole(between: Between | None) -> None:
    """Refuse to collect in a pass that leaves out layers."""
    if between is not None:
        raise ValueError("output_hidden_states in training with layer_drop: layers are left out; set one of them off")
