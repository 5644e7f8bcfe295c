"""Hashed layers of a model, and what each of them is given while the model runs."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from reformer.errors import ReformerError
from reformer.models import ReformerModel
from reformer.nn import Attention, CrossAttention, MixedAttention, SubLayer, Tokens


@dataclass(frozen=True, eq=False)
class HashedLayer:
    """Heads of one layer that hash alike."""

    layer: int
    """The number of the layer, from 1."""
    kind: str
    heads: tuple[int, ...]
    """Their numbers in the layer, from 1."""
    attention: Attention
    sublayer: SubLayer
    """What the attention, and that of the layer's other heads, is the function of."""


def hashed_layers(model: nn.Module, name: str) -> list[HashedLayer]:
    """The hashed layers of a model, from the lowest on; of an encoder-decoder those of the encoder.

    Raises:
        ReformerError: there are none; the message says what `name` has instead.
    """
    # A decoder that looks at a source reads token by token what it has written itself.
    stacks = [
        module
        for module in model.modules()
        if isinstance(module, ReformerModel) and not any(isinstance(part, CrossAttention) for part in module.modules())
    ]
    found = [layer for stack in stacks for layer in _of_stack(stack)]
    if not found:
        kinds = [_kind_name(spec) for stack in stacks for spec in stack.config.attention_layers]
        has = ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
        raise ReformerError(
            f"{name}: this model hashes nothing, so there is nothing to inspect; its layers are {has or 'others'}, and "
            'what is inspected are "lsh" and "local+lsh"'
        )
    return found


def _of_stack(stack: ReformerModel) -> Iterator[HashedLayer]:
    sublayers, kinds = list(stack.encoder.sublayers), stack.config.attention_layers
    for index, sublayer in enumerate(sublayers):
        assert isinstance(sublayer, SubLayer)
        function, layer = sublayer.function, index * len(kinds) // len(sublayers)
        if not isinstance(function, Attention | MixedAttention):
            continue
        parts = [function] if isinstance(function, Attention) else list(function.groups)
        for part, group in zip(parts, stack.config.head_groups(kinds[layer]), strict=True):
            if isinstance(part, Attention) and part.hashed:
                yield HashedLayer(layer + 1, part.kind, tuple(head + 1 for head in group.heads), part, sublayer)


def _kind_name(spec: str | Any) -> str:
    return spec if isinstance(spec, str) else f"[{', '.join(spec)}]"


@contextmanager
def observed(layers: list[HashedLayer], see: Callable[[HashedLayer, Tensor, Tokens], object]) -> Iterator[None]:
    """While it lasts, `see` is called with the input of each of the layers, normalised, and the tokens it stands for,
    whenever the layer reads whole sequences."""
    with ExitStack() as hooks:
        for layer in layers:

            def before(module: nn.Module, arguments: tuple[Any, ...], layer: HashedLayer = layer) -> None:
                hidden, tokens, *rest = arguments
                if len(rest) < 2 or rest[1] is None:
                    see(layer, hidden, tokens)

            hooks.enter_context(layer.attention.register_forward_pre_hook(before))
        yield
