"""Layer kinds: one adapter a kind, between the fields of the configuration and the layer of `reformer.nn`."""

from reformer.models.layer_kinds.kind import LayerKind
from reformer.models.layer_kinds.table import LAYER_KINDS, kind_of

__all__ = [
    "LAYER_KINDS",
    "LayerKind",
    "kind_of",
]
