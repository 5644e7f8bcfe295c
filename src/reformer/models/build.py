"""Builders of the parts that a configuration asks for, which the backbone runs."""

from functools import partial

from torch import nn

from reformer.models.configuration import ReformerConfig
from reformer.models.configuration.head_groups import LayerSpec
from reformer.models.layer_kinds.attention import build_cross_attention
from reformer.models.layer_kinds.table import kind_of
from reformer.nn import (
    AxialPositions,
    Bottleneck,
    CirculantLinear,
    FeedForward,
    Hourglass,
    Layer,
    LayerDrop,
    LearnedPositions,
    NgramEmbedding,
    ResidualSequence,
    ReversibleSequence,
    SeparableConvolution,
    SinusoidalPositions,
    SubLayer,
)


def build_ngrams(config: ReformerConfig) -> NgramEmbedding | None:
    """N-gram embeddings, if there are any."""
    if not config.ngram_sizes:
        return None
    return NgramEmbedding(
        config.ngram_sizes,
        config.ngram_rows,
        config.ngram_width,
        config.hidden_size,
        float(config.ngram_dropout),
        config.ngram_min_frequency,
    )


def build_positions(config: ReformerConfig) -> nn.Module | None:
    """Position embeddings that are added to the vectors, if there are any; rotary positions are applied by layers."""
    kind = config.position_embedding_type
    if kind == "axial":
        return AxialPositions(config.axial_pos_shape or (), config.axial_pos_embds_dim or ())
    if kind == "learned":
        return LearnedPositions(config.max_position_embeddings, config.hidden_size)
    if kind == "sinusoidal":
        return SinusoidalPositions(config.hidden_size)
    return None


def build_layer(
    config: ReformerConfig, layer: LayerSpec, cross_attention: str | None = None, *, is_first: bool = False
) -> list[SubLayer]:
    """The sub-layers of one layer, in the order they run.

    Args:
        layer: as one of the `attention_layers` names it.
        cross_attention: the kind of its cross attention; None for none.
        is_first: it is the lowest of the stack.
    """
    functions: list[Layer] = [kind_of(layer).build(config, layer), _build_feed_forward(config)]
    if cross_attention is not None:
        functions.insert(1, build_cross_attention(config, cross_attention))
    if config.convolution_kernel:
        functions.insert(0, SeparableConvolution(config.hidden_size, config.convolution_kernel, config.is_decoder))
    return [
        SubLayer(
            function,
            config.hidden_size,
            float(config.hidden_dropout_prob),
            config.layer_norm_eps,
            None if isinstance(function, SeparableConvolution) else _build_bottleneck(config),
            config.norm,
            config.norm_order == "post" or (config.norm_order == "first" and is_first and function is functions[0]),
        )
        for function in functions
    ]


def build_stack(
    config: ReformerConfig, layers: list[list[SubLayer]]
) -> ReversibleSequence | ResidualSequence | Hourglass:
    """All sub-layers, one after the other."""
    sublayers = [sublayer for layer in layers for sublayer in layer]
    drop = LayerDrop(float(config.layer_drop), len(layers[0])) if config.layer_drop else None
    if config.residual_streams == 1:
        return ResidualSequence(sublayers, drop, config.recompute)
    if not config.shortened_layers:
        return ReversibleSequence(sublayers, config.reversible, drop)
    begin, end = (sum(map(len, layers[:number])) for number in config.shortened_layers)
    return Hourglass(
        sublayers[:begin],
        sublayers[begin:end],
        sublayers[end:],
        config.hidden_size,
        size=config.fusion_width,
        kernel=config.fusion_kernel,
        stride=config.shorten_stride,
        ranges=config.fusion_ranges,
        causal=config.is_decoder,
        reversible=config.reversible,
        eps=config.layer_norm_eps,
        norm=config.norm,
        drop=drop,
    )


def _build_feed_forward(config: ReformerConfig) -> FeedForward:
    is_circulant = config.feed_forward_linear == "circulant"
    return FeedForward(
        config.hidden_size,
        config.feed_forward_size,
        config.hidden_act,
        config.gated_feed_forward,
        config.chunk_size_feed_forward,
        partial(CirculantLinear, block=config.circulant_block) if is_circulant else nn.Linear,
    )


def _build_bottleneck(config: ReformerConfig) -> Bottleneck | None:
    if not config.bottleneck_size:
        return None
    return Bottleneck(config.hidden_size, config.bottleneck_size, config.bottleneck_act)
