"""Table of the layer kinds, by the names that a configuration's `attention_layers` has."""

from reformer.models.configuration.head_groups import NO_HEAD, LayerSpec
from reformer.models.layer_kinds.attention import AttentionKind
from reformer.models.layer_kinds.fourier import FourierKind
from reformer.models.layer_kinds.kind import LayerKind

ATTENTION = AttentionKind()

LAYER_KINDS: dict[str, LayerKind] = {
    "full": ATTENTION,
    "local": ATTENTION,
    "lsh": ATTENTION,
    "local+lsh": ATTENTION,
    "fourier": FourierKind(),
}


def kind_of(layer: LayerSpec) -> LayerKind:
    """The adapter of a layer; of a list with a kind for each head, that of the first head."""
    return LAYER_KINDS[layer if isinstance(layer, str) else next(kind for kind in layer if kind != NO_HEAD)]
