"""Base class of the adapters between the configuration's fields and a kind of layer."""

from typing import ClassVar

from reformer import nn
from reformer.models.configuration.fields import ReformerFields
from reformer.models.configuration.head_groups import LayerSpec


class LayerKind:
    """Adapter of a layer kind: it checks the fields that such layers read, and builds a layer of them.

    To add a kind, write its layer (`reformer.nn.Layer`) and its adapter, and name it in `LAYER_KINDS`.
    """

    options: ClassVar[tuple[str, ...]] = ()
    """Fields of the configuration that have no effect where no layer is of this kind: given in vain, they are
    refused."""
    has_heads: ClassVar[bool] = False
    """Whether each head of a layer may be of a kind of its own, or pruned. All kinds with heads have one adapter, which
    builds the layers that mix them."""

    def check(self, fields: ReformerFields) -> None:
        """Raise a `ValueError` where the fields that such layers read make no sense, whatever layers there are."""

    def check_layer(self, fields: ReformerFields, layer: LayerSpec) -> None:
        """Raise a `ValueError` where a layer of this kind cannot be built."""

    def build(self, fields: ReformerFields, layer: LayerSpec) -> nn.Layer:
        """The layer, as one of the `attention_layers` names it."""
        raise NotImplementedError
