"""Gradients of sub-layers that a backward pass runs again, one after the other."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from reformer.nn.tokens import Tokens


class Gradients:
    """Sums of the gradients of a stack's parameters, which several sub-layers may share.

    Args:
        needed: of each of `parameters_of` the sub-layers, whether it needs one.
    """

    def __init__(self, sublayers: Iterable[nn.Module], needed: Sequence[bool]) -> None:
        self._every: list[Tensor] = [*parameters_of(sublayers)]
        self._found: dict[Tensor, Tensor] = {}
        # Allocated before anything large: between large tensors they would fragment freed memory, which could then be
        # neither used again nor returned.
        self._places = {
            each: torch.empty_like(each) for each, wanted in zip(self._every, needed, strict=True) if wanted
        }

    def wanted(self, sublayer: nn.Module) -> list[Tensor]:
        """The parameters of a sub-layer that need a gradient."""
        return [parameter for parameter in sublayer.parameters() if parameter in self._places]

    def add(self, tensors: Sequence[Tensor], found: Sequence[Tensor | None]) -> None:
        """Add what a sub-layer has found for each of some tensors, parameters or others."""
        for tensor, gradient in zip(tensors, found, strict=True):
            if gradient is None:
                continue
            earlier, place = self._found.get(tensor), self._places.get(tensor)
            if place is None:
                self._found[tensor] = gradient if earlier is None else earlier + gradient
            else:
                self._found[tensor] = place.copy_(gradient) if earlier is None else earlier.add_(gradient)

    def of(self, tensor: Tensor) -> Tensor | None:
        """The sum of what was found for it; None without any."""
        return self._found.get(tensor)

    def of_all(self) -> list[Tensor | None]:
        """That of each parameter, in the order of `parameters_of`."""
        return [self._found.get(each) for each in self._every]


def parameters_of(sublayers: Iterable[nn.Module]) -> list[nn.Parameter]:
    """The parameters of sub-layers, each that several share once."""
    return list(dict.fromkeys(parameter for layer in sublayers for parameter in layer.parameters()))


def autocast_now(device: torch.device) -> dict[str, Any]:
    """The arguments for `torch.autocast` that are in force, for a backward pass, in which they are not."""
    kind = device.type
    return {
        "device_type": kind,
        "enabled": torch.is_autocast_enabled(kind),
        "dtype": torch.get_autocast_dtype(kind),
    }


def check_replayable(sublayers: Sequence[nn.Module]) -> None:
    """Refuse modules that draw anew when they are run again, such as the dropout of an adapter from elsewhere."""
    for sublayer in sublayers:
        for name, module in sublayer.named_modules():
            if isinstance(module, nn.Dropout) and module.training and module.p > 0:
                raise ValueError(
                    f"{name} is a Dropout of {module.p} in a reversible layer: the backward pass runs the layer again, "
                    "and it would draw again; set its probability to 0 (lora_dropout of an adapter), or "
                    "reversible=False, of a plain model recompute=False"
                )


def frozen_bottom(streams: Sequence[Tensor], tokens: Tokens, sublayers: Sequence[nn.Module]) -> int:
    """The number of sub-layers, from the first on, that are frozen with everything below them."""
    seen = tokens.source is not None and tokens.source.hidden.requires_grad
    if seen or any(stream.requires_grad for stream in streams):
        return 0
    trained = (any(p.requires_grad for p in sublayer.parameters()) for sublayer in sublayers)
    return next((index for index, is_trained in enumerate(trained) if is_trained), len(sublayers))
