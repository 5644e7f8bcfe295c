"""The parts that a configuration asks for, made and put in order; `backbone` runs them."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from reformer.models.configuration import ReformerConfig
from reformer.models.configuration.head_groups import HeadGroup, Layer
from reformer.nn import (
    Attention,
    AxialPositions,
    Bottleneck,
    CirculantLinear,
    CrossAttention,
    FeedForward,
    FourierConvolution,
    Hourglass,
    LayerDrop,
    LearnedPositions,
    MixedAttention,
    NgramEmbedding,
    ResidualSequence,
    ReversibleSequence,
    SeparableConvolution,
    SinusoidalPositions,
    SubLayer,
)


def ngrams_of(config: ReformerConfig) -> NgramEmbedding | None:
    """The embeddings of groups of tokens, if there are any."""
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


def positions_of(config: ReformerConfig) -> nn.Module | None:
    """What is added to the vectors for where they stand; None where nothing is, or layers see to it."""
    kind = config.position_embedding_type
    if kind == "axial":
        return AxialPositions(config.axial_pos_shape or (), config.axial_pos_embds_dim or ())
    if kind == "learned":
        return LearnedPositions(config.max_position_embeddings, config.hidden_size)
    if kind == "sinusoidal":
        return SinusoidalPositions(config.hidden_size)
    return None


def _attention(config: ReformerConfig, layer: Layer, of_group: Callable[[HeadGroup], Attention]) -> nn.Module:
    """An attention for all heads of a layer, or for each group of them that are alike."""
    groups = [of_group(group) for group in config.head_groups(layer)]
    return groups[0] if len(groups) == 1 else MixedAttention(groups)


def layer_of(config: ReformerConfig, kind: Layer, across: str | None = None) -> list[SubLayer]:
    """The sub-layers of one layer, in the order they run; `across` is the kind of its cross attention, if any."""
    alike: dict[str, Any] = {
        "buckets": config.num_buckets,
        "rounds": config.num_rounds,
        "score_transform": config.score_transform,
        "score_order": config.score_polynomial_order,
        "gated": config.gated_heads,
        "activation": config.attention_act,
    }

    def attention(group: HeadGroup) -> Attention:
        return Attention(
            group.kind,
            config.hidden_size,
            len(group.heads),
            config.attention_head_size,
            causal=config.is_decoder,
            local_window=group.local_window,
            lsh_window=group.lsh_window,
            shared=config.shared_query_key,
            projection_kernel=config.projection_kernel,
            key_value_heads=len(group.heads) // config.heads_sharing_keys,
            time_heads=group.heads if config.time_bias_length else None,
            **alike,
        )

    def cross_attention(group: HeadGroup) -> CrossAttention:
        return CrossAttention(
            group.kind,
            config.hidden_size,
            config.output_size,
            len(group.heads),
            config.attention_head_size,
            window=group.lsh_window,
            **alike,
        )

    functions: list[nn.Module] = [
        _convolution(config) if kind == "fourier" else _attention(config, kind, attention),
        FeedForward(
            config.hidden_size,
            config.feed_forward_size,
            config.hidden_act,
            config.gated_feed_forward,
            config.chunk_size_feed_forward,
            partial(CirculantLinear, block=config.circulant_block)
            if config.feed_forward_linear == "circulant"
            else nn.Linear,
        ),
    ]
    if across is not None:
        functions.insert(1, _attention(config, across, cross_attention))
    if config.convolution_kernel:
        functions.insert(0, SeparableConvolution(config.hidden_size, config.convolution_kernel, config.is_decoder))
    return [
        SubLayer(
            function,
            config.hidden_size,
            float(config.hidden_dropout_prob),
            config.layer_norm_eps,
            None if isinstance(function, SeparableConvolution) else _bottleneck(config),
        )
        for function in functions
    ]


def stack_of(config: ReformerConfig, layers: list[list[SubLayer]]) -> ReversibleSequence | ResidualSequence | Hourglass:
    """All sub-layers, one after the other."""
    sublayers = [sublayer for layer in layers for sublayer in layer]
    drop = LayerDrop(float(config.layer_drop), len(layers[0])) if config.layer_drop else None
    if config.residual_streams == 1:
        return ResidualSequence(sublayers, drop)
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
        drop=drop,
    )


def _convolution(config: ReformerConfig) -> FourierConvolution:
    width = config.num_attention_heads * config.attention_head_size
    return FourierConvolution(config.hidden_size, width, config.fourier_kernel, config.is_decoder)


def _bottleneck(config: ReformerConfig) -> Bottleneck | None:
    if not config.bottleneck_size:
        return None
    return Bottleneck(config.hidden_size, config.bottleneck_size, config.bottleneck_act)
