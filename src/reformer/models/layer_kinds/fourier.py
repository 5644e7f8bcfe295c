"""Adapter of the layer kind "fourier": a gated convolution with long filters in place of attention."""

from reformer.models.configuration.fields import ReformerFields
from reformer.models.configuration.head_groups import LayerSpec
from reformer.models.layer_kinds.kind import LayerKind
from reformer.nn.fourier import FourierConvolution


class FourierKind(LayerKind):
    """Adapter of the gated long convolution, which has as many channels as attention."""

    options = ("fourier_kernel",)

    def check(self, fields: ReformerFields) -> None:
        if fields.fourier_kernel < 1:
            raise ValueError(f"fourier_kernel={fields.fourier_kernel}: expected at least 1")

    def build(self, fields: ReformerFields, layer: LayerSpec) -> FourierConvolution:
        channels = fields.num_attention_heads * fields.attention_head_size
        return FourierConvolution(fields.hidden_size, channels, fields.fourier_kernel, fields.is_decoder)
