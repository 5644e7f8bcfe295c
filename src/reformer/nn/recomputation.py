"""Gradients of sub-layers that a backward pass runs again, one after the other."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from reformer.nn.replay import Replay
from reformer.nn.tokens import Tokens

COMPUTED_BYTES = 1 << 30
"""What a pass keeps of all that its sub-layers compute, about, with "auto"; where it is more, they are run again."""

Recompute = bool | Literal["auto"]


def is_run_again(
    recompute: Recompute, hidden: Tensor, sublayers: Iterable[nn.Module], tokens: Tokens | None = None
) -> bool:
    """Whether the backward pass is to run sub-layers again, whose input is as `hidden`; never in a graph that is
    compiled, where the compiler chooses what is kept and what is computed again. Processes that hold parts of the same
    rows decide alike."""
    if torch.compiler.is_compiling():
        return False
    if recompute != "auto":
        return bool(recompute)
    rows = hidden.shape[0] * (hidden.shape[1] if tokens is None else tokens.longest_part)
    return sum(_computed_bytes(sublayer, hidden, rows) for sublayer in sublayers) > COMPUTED_BYTES


def _computed_bytes(sublayer: nn.Module, hidden: Tensor, rows: int) -> int:
    """What a backward pass needs of a sub-layer, about: what goes into each matrix and comes out of it, which autocast
    makes smaller, and what the norm is of."""
    autocast = autocast_now(hidden.device)
    size = autocast["dtype"].itemsize if autocast["enabled"] else hidden.element_size()
    matrices = sum(sum(parameter.shape) for parameter in sublayer.parameters() if parameter.ndim > 1)
    return rows * (matrices * size + hidden.shape[-1] * hidden.element_size())


class Trained:
    """The parameters of a stack in one forward pass, each that several sub-layers share once; which sub-layers have
    theirs sharded, and those parameters, which gather their gradients themselves.

    FSDP2 puts other tensors in the place of the shards while a module is called, so these may be others later.
    """

    def __init__(self, sublayers: Iterable[nn.Module]) -> None:
        sublayers = list(sublayers)
        self.parameters = list(dict.fromkeys(each for sublayer in sublayers for each in sublayer.parameters()))
        self.sharded = {sublayer for sublayer in sublayers if any(map(_is_shard, sublayer.parameters()))}
        self.apart = {parameter for sublayer in self.sharded for parameter in sublayer.parameters()}


def _is_shard(parameter: Tensor) -> bool:
    # Whoever has shards has imported this.
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(parameter, module.DTensor)


class Gradients:
    """Sums of the gradients of a stack's parameters, which several sub-layers may share; not of shards.

    Args:
        needed: of each of the parameters, whether it needs one.
    """

    def __init__(self, trained: Trained, needed: Sequence[bool]) -> None:
        self._every: list[Tensor] = [*trained.parameters]
        self._found: dict[Tensor, Tensor] = {}
        # Allocated before anything large: between large tensors they would fragment freed memory, which could then be
        # neither used again nor returned.
        self._places = {
            each: torch.empty_like(each)
            for each, wanted in zip(self._every, needed, strict=True)
            if wanted and each not in trained.apart
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
        """The sum of what was found for it, and of what it has gathered itself; None without any."""
        found = self._found.get(tensor)
        if tensor.grad is None:
            return found
        return tensor.grad if found is None else found + tensor.grad

    def of_all(self) -> list[Tensor | None]:
        """That which was found for each parameter, in their order."""
        return [self._found.get(each) for each in self._every]


def sharded_pullback(
    sublayer: nn.Module, hidden: Tensor, tokens: Tokens, replay: Replay, grad_output: Tensor, **options: Any
) -> tuple[Tensor | None, Tensor]:
    """Run a sub-layer with sharded parameters again, and leave it to them to gather their gradients, as those of its
    source do; the gradient of its input, and its output."""
    with torch.enable_grad():
        hidden = hidden.detach().requires_grad_()
        # As a module, since its hooks gather the parameters.
        output = sublayer(hidden, tokens, replay.rewind(), **options)
    torch.autograd.backward([output], [grad_output.to(output.dtype)])
    for module in sublayer.modules():
        if hasattr(module, "_get_fsdp_state"):
            # Else FSDP2 takes the next run, for an earlier forward pass, for one whose gradients it has to do nothing
            # about. It has no public name for this.
            state = module._get_fsdp_state()  # pyright: ignore
            state._training_state = type(state._training_state).IDLE
    return hidden.grad, output.detach()


def autocast_now(device: torch.device) -> dict[str, Any]:
    """The arguments for `torch.autocast` that are in force, for a backward pass, in which they are not."""
    kind = device.type
    return {
        "device_type": kind,
        "enabled": torch.is_autocast_enabled(kind),
        "dtype": torch.get_autocast_dtype(kind),
    }


def check_replayable(sublayers: Sequence[nn.Module]) -> None:
    """Refuse modules that draw anew when they are run again: dropout of whole channels, or for activations that keep
    their variance. Ordinary dropout, as adapters have it, is drawn from the replay."""
    for sublayer in sublayers:
        for name, module in sublayer.named_modules():
            if not isinstance(module, _DropoutNd) or isinstance(module, nn.Dropout):
                continue
            if module.training and module.p > 0:
                raise ValueError(
                    f"{name} is a {type(module).__name__} of {module.p} in a reversible layer: the backward pass runs "
                    "the layer again, and it would draw again; set its probability to 0, take Dropout, or "
                    "reversible=False, of a plain model recompute=False"
                )


def frozen_bottom(streams: Sequence[Tensor], tokens: Tokens, sublayers: Sequence[nn.Module]) -> int:
    """The number of sub-layers, from the first on, that are frozen with everything below them."""
    seen = tokens.source is not None and tokens.source.hidden.requires_grad
    if seen or any(stream.requires_grad for stream in streams):
        return 0
    trained = (any(p.requires_grad for p in sublayer.parameters()) for sublayer in sublayers)
    return next((index for index, is_trained in enumerate(trained) if is_trained), len(sublayers))
