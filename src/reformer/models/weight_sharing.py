"""Weight sharing between layers (`docs/math.md`, equation 24)."""

from collections.abc import Sequence

from torch import nn


def shared_weights(model: nn.Module, layers: Sequence[Sequence[nn.Module]], distinct: int) -> dict[str, str]:
    """Parameters that layer `i` shares with layer `i mod distinct`.

    Shared are weights, the parameters of two or more dimensions. Those of one (biases, norms, temperatures) and the
    buffers (hash rotations) stay each layer's own.

    Args:
        model: what holds the layers, and gives its parameters their names.
        layers: the sub-layers of each layer; a layer has those of the one it shares with.

    Returns:
        By the name of every parameter to be replaced, the name of the one to take its place.
    """
    names = {id(module): name for name, module in model.named_modules()}
    replaced: dict[str, str] = {}
    for number in range(distinct, len(layers)):
        for mine, theirs in zip(layers[number], layers[number % distinct], strict=True):
            for name, weight in theirs.named_parameters():
                if weight.dim() > 1:
                    replaced[f"{names[id(mine)]}.{name}"] = f"{names[id(theirs)]}.{name}"
    return replaced
