"""Checks of the configuration's fields, one by one and against each other."""

from collections.abc import Sequence
from functools import partial

from reformer.models.configuration.fields import ReformerFields
from reformer.models.configuration.head_groups import NO_HEAD, LayerSpec
from reformer.models.configuration.idle_options import idle_options, refusal
from reformer.models.configuration.rotary_checks import check_rotary
from reformer.models.layer_kinds.attention import CROSS_ATTENTION_KINDS
from reformer.models.layer_kinds.table import LAYER_KINDS, kind_of

MOST_LAYERS = 1024

MOST = {
    "hidden_size": 1 << 17,
    "num_attention_heads": 1 << 10,
    "attention_head_size": 1 << 14,
    "feed_forward_size": 1 << 20,
    "embedding_size": 1 << 17,
    "bottleneck_size": 1 << 17,
    "fusion_size": 1 << 17,
    "vocab_size": 1 << 26,
    "max_position_embeddings": 1 << 48,
    "num_rounds": 1 << 12,
    "time_bias_length": 1 << 48,
    "local_window": 1 << 48,
    "lsh_window": 1 << 48,
    "convolution_kernel": 1 << 20,
    "projection_kernel": 1 << 20,
    "fourier_kernel": 1 << 26,
    "circulant_block": 1 << 17,
    "chunk_size_feed_forward": 1 << 48,
    "ngram_sizes": 1 << 10,
    "ngram_rows": 1 << 30,
    "ngram_width": 1 << 14,
    "ngram_min_frequency": 1 << 48,
    "wide_sizes": 1 << 10,
    "wide_rows": 1 << 30,
    "question_match_sizes": 1 << 10,
    "axial_pos_shape": 1 << 26,
    "axial_pos_embds_dim": 1 << 17,
    "fusion_kernel": 1 << 20,
    "fusion_stride": 1 << 20,
    "fusion_ranges": 1 << 26,
    "shorten_stride": 1 << 20,
    "patch_size": 1 << 16,
    "num_channels": 1 << 16,
    "image_size": 1 << 20,
    "prediction_length": 1 << 24,
    "num_time_features": 1 << 16,
    "num_dynamic_real_features": 1 << 16,
    "num_static_real_features": 1 << 16,
    "dynamic_cardinalities": 1 << 24,
    "static_cardinalities": 1 << 24,
    "linear_context": 1 << 24,
}
"""The most that a field may be, or each number of its list. Models are far below; a configuration above is damaged or
hostile, and would allocate or loop before anything else is noticed."""


def check(fields: ReformerFields) -> None:
    """Raise a `ValueError` with what was given and what was expected, if a field or two together make no sense."""
    _check_bounds(fields)
    _check_idle(fields)
    _check_sizes(fields)
    _check_residual(fields)
    _check_layers(fields)
    # The positions are those of the decoder's layers, too.
    _check_encoder_decoder(fields)
    _check_positions(fields)
    _check_series(fields)
    _check_fusion(fields)


def _check_bounds(fields: ReformerFields) -> None:
    for name, most in MOST.items():
        value = getattr(fields, name)
        largest = 0 if value is None else max([value] if isinstance(value, int) else value, default=0)
        if largest > most:
            raise ValueError(f"{name}={largest}: expected at most {most:,}")
    for name in ("attention_layers", "decoder_attention_layers", "cross_attention_layers"):
        if len(getattr(fields, name) or ()) > MOST_LAYERS:
            raise ValueError(f"{name} has {len(getattr(fields, name)):,} layers; expected at most {MOST_LAYERS:,}")


def _check_idle(fields: ReformerFields) -> None:
    value = partial(getattr, fields)
    if told := refusal(idle_options(value, fields.default), value):
        raise ValueError(told)


def _check_sizes(fields: ReformerFields) -> None:
    names = (
        "hidden_size",
        "num_attention_heads",
        "attention_head_size",
        "feed_forward_size",
    )
    names += ("max_position_embeddings", "ngram_rows", "ngram_width", "ngram_min_frequency", "wide_rows")
    names += ("circulant_block", "fusion_kernel", "fusion_stride", "shorten_stride")
    for name in names:
        if getattr(fields, name) < 1:
            raise ValueError(f"{name}={getattr(fields, name)}: expected at least 1")
    if fields.image_size is not None and (len(fields.image_size) != 2 or min(fields.image_size) < 1):
        raise ValueError(f"image_size={list(fields.image_size)}: expected a height and a width of at least 1, or None")
    names = ("hidden_dropout_prob", "classifier_dropout", "token_dropout", "ngram_dropout", "label_smoothing")
    names += ("layer_drop", "wide_dropout")
    for name in names:
        value = getattr(fields, name)
        if value is not None and not 0 <= value < 1:
            raise ValueError(f"{name}={value}: expected a probability, at least 0 and below 1")
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        value = getattr(fields, name)
        for token in value if isinstance(value, list) else [] if value is None or not fields.vocab_size else [value]:
            if not 0 <= token < fields.vocab_size:
                raise ValueError(f"{name}={token}: expected a token of the vocabulary of {fields.vocab_size}, or None")
    if fields.chunk_size_feed_forward < 0:
        raise ValueError(f"chunk_size_feed_forward={fields.chunk_size_feed_forward}: expected 0 (all) or more")
    if fields.ngram_min_frequency > 1 and fields.is_encoder_decoder:
        raise ValueError(
            f"ngram_min_frequency={fields.ngram_min_frequency}: it counts the groups of one text; give no "
            "encoder-decoder, or leave it out"
        )
    for name in ("convolution_kernel", "projection_kernel"):
        kernel = getattr(fields, name)
        if kernel < 0 or (kernel and kernel % 2 == 0):
            raise ValueError(f"{name}={kernel}: expected 0 (none) or an odd width")
    if fields.feed_forward_linear == "circulant":
        for name in ("hidden_size", "feed_forward_size"):
            if getattr(fields, name) % fields.circulant_block:
                raise ValueError(
                    f"circulant_block={fields.circulant_block} does not divide {name}={getattr(fields, name)}; "
                    "circulant blocks have to fill the matrix"
                )
    if fields.bottleneck_size < 0:
        raise ValueError(f"bottleneck_size={fields.bottleneck_size}: expected 0 (none) or more")
    if fields.embedding_width < 1:
        raise ValueError(f"embedding_size={fields.embedding_size}: expected at least 1, or None for hidden_size")
    if fields.ngram_sizes and (min(fields.ngram_sizes) < 2 or len(set(fields.ngram_sizes)) < len(fields.ngram_sizes)):
        raise ValueError(f"ngram_sizes={list(fields.ngram_sizes)}: expected different sizes of at least 2")
    for name in ("wide_sizes", "question_match_sizes"):
        sizes = getattr(fields, name)
        if sizes and (min(sizes) < 1 or len(set(sizes)) < len(sizes)):
            raise ValueError(f"{name}={list(sizes)}: expected different sizes of at least 1")
    if fields.question_match_sizes and fields.is_decoder:
        raise ValueError(
            f"question_match_sizes={list(fields.question_match_sizes)} with is_decoder=True: a group that begins at a "
            "token is told by later ones; leave one out"
        )


def _check_residual(fields: ReformerFields) -> None:
    if fields.residual_streams not in (1, 2):
        raise ValueError(f"residual_streams={fields.residual_streams}: expected 2, or 1 for the plain Transformer")
    if fields.residual_streams == 1 and fields.reversible:
        raise ValueError(
            f"residual_streams=1 with reversible={fields.reversible!r}: an input can be found again only from two "
            "streams; set reversible to False, or residual_streams to 2"
        )
    if fields.norm_order != "pre" and fields.residual_streams == 2:
        raise ValueError(
            f"norm_order={fields.norm_order!r} with residual_streams=2: an input can be found again only where it is "
            "added to as it is; set residual_streams to 1 and reversible to False"
        )


def _check_layers(fields: ReformerFields) -> None:
    _check_kinds("attention_layers", fields.attention_layers, list(LAYER_KINDS))
    for kind in dict.fromkeys(LAYER_KINDS.values()):
        kind.check(fields)
    for layer in fields.attention_layers:
        kind_of(layer).check_layer(fields, layer)
    _check_sharing(fields)


def _check_sharing(fields: ReformerFields) -> None:
    distinct = fields.num_distinct_layers
    if distinct is None:
        return
    for name in ("attention_layers", "decoder_attention_layers", "cross_attention_layers"):
        kinds = getattr(fields, name) or []
        if kinds and not 1 <= distinct <= len(kinds):
            raise ValueError(f"num_distinct_layers={distinct}: expected 1 to {len(kinds)}, the number of {name}")
        for number, kind in enumerate(kinds):
            theirs = kinds[number % distinct]
            if kind != theirs:
                raise ValueError(
                    f"num_distinct_layers={distinct}: in {name}, layer {number} is {kind!r} and layer "
                    f"{number % distinct}, whose weights it would use, {theirs!r}; let the kinds repeat every "
                    f"{distinct} layers"
                )


def _check_positions(fields: ReformerFields) -> None:
    kind, longest = fields.position_embedding_type, fields.max_position_embeddings
    if kind == "rotary":
        check_rotary(fields)
    if kind == "sinusoidal" and fields.hidden_size % 2:
        raise ValueError(f"hidden_size={fields.hidden_size}: sinusoidal positions need an even width")
    if kind != "axial":
        return
    shape, widths = fields.axial_pos_shape, fields.axial_pos_embds_dim
    if not shape or not widths or len(shape) != len(widths):
        raise ValueError(
            f"axial_pos_shape={shape} and axial_pos_embds_dim={widths}: axial positions need both, of one length"
        )
    if min(shape) < 1 or min(widths) < 1 or sum(widths) != fields.hidden_size:
        raise ValueError(
            f"axial_pos_embds_dim={list(widths)} adds up to {sum(widths)}, expected hidden_size={fields.hidden_size}"
        )
    table = 1
    for side in shape:
        table *= side
    if longest > table:
        raise ValueError(
            f"max_position_embeddings={longest} but axial_pos_shape={list(shape)} holds {table} positions; "
            "enlarge the shape or lower the maximum"
        )


def _check_series(fields: ReformerFields) -> None:
    for name, least in (
        ("vocab_size", 0),
        ("patch_size", 1),
        ("num_channels", 1),
        ("prediction_length", 1),
        ("num_time_features", 0),
        ("num_dynamic_real_features", 0),
        ("num_static_real_features", 0),
        ("linear_context", 0),
    ):
        if getattr(fields, name) < least:
            raise ValueError(f"{name}={getattr(fields, name)}: expected at least {least}")
    for name in ("dynamic_cardinalities", "static_cardinalities"):
        if any(count < 2 for count in getattr(fields, name)):
            raise ValueError(f"{name}={list(getattr(fields, name))}: expected at least 2 each, of which 0 means none")
    if not fields.vocab_size and fields.ngram_sizes:
        raise ValueError(f"ngram_sizes={list(fields.ngram_sizes)}: groups of tokens need a vocab_size")
    found = list(fields.quantiles)
    inside = all(0 < quantile < 1 for quantile in found)
    if found and (0.5 not in found or not inside or found != sorted(set(found))):
        raise ValueError(f"quantiles={found}: expected numbers between 0 and 1 in rising order, 0.5 among them")


def _check_encoder_decoder(fields: ReformerFields) -> None:
    if not fields.is_encoder_decoder:
        return
    if fields.is_decoder:
        raise ValueError(
            "is_decoder=True and is_encoder_decoder=True: an encoder reads both sides, and the decoder is causal "
            "without being told; leave is_decoder out"
        )
    layers, across = fields.decoder_attention_layers or [], fields.cross_attention_layers or []
    _check_kinds("decoder_attention_layers", layers, list(LAYER_KINDS))
    _check_kinds("cross_attention_layers", across, CROSS_ATTENTION_KINDS)
    for layer in layers:
        kind_of(layer).check_layer(fields, layer)
    if len(layers) != len(across):
        raise ValueError(
            f"cross_attention_layers has {len(across)} entries for the decoder's {len(layers)} layers; give one each"
        )
    start = fields.decoder_start_token_id
    if start is None or not 0 <= start < fields.vocab_size:
        raise ValueError(
            f"decoder_start_token_id={start}: expected a token of the vocabulary of {fields.vocab_size}, which the "
            "decoder reads first"
        )


def _check_fusion(fields: ReformerFields) -> None:
    if fields.fusion_width < 1:
        raise ValueError(f"fusion_size={fields.fusion_size}: expected at least 1, or None for the streams' width")
    if fields.fusion_ranges and min(fields.fusion_ranges) < 2:
        raise ValueError(f"fusion_ranges={list(fields.fusion_ranges)}: expected ranges of at least 2 steps")
    strides = {"fusion_stride": fields.fusion_stride} if fields.classifier_pooling == "fusion" else {}
    for name in ("shortened_layers", "decoder_shortened_layers"):
        if (layers := getattr(fields, name)) is not None:
            strides["shorten_stride"] = fields.shorten_stride
            _check_shortening(fields, name, layers)
    for name, stride in strides.items():
        if stride > fields.fusion_kernel:
            raise ValueError(
                f"{name}={stride} with fusion_kernel={fields.fusion_kernel} would skip tokens; enlarge the kernel"
            )


def _check_shortening(fields: ReformerFields, name: str, layers: Sequence[int]) -> None:
    count = len((fields.decoder_attention_layers or []) if name.startswith("decoder") else fields.attention_layers)
    if len(layers) != 2 or not 0 <= layers[0] < layers[1] <= count:
        raise ValueError(
            f"{name}={list(layers)}: expected the first layer and the one after the last, within 0 and {count}"
        )
    if fields.shorten_stride < 2:
        raise ValueError(f"shorten_stride={fields.shorten_stride} shortens nothing; expected at least 2")
    if fields.residual_streams != 2:
        raise ValueError(f"{name}={list(layers)} with residual_streams=1: there is no hourglass of one stream")


def _check_kinds(name: str, layers: Sequence[LayerSpec], kinds: Sequence[str]) -> None:
    if not layers:
        raise ValueError(f"{name}=[]: expected at least one layer")
    for layer in layers:
        # Only heads can be of a kind each.
        allowed = (
            kinds if isinstance(layer, str) else [*(name for name in kinds if LAYER_KINDS[name].has_heads), NO_HEAD]
        )
        if set(layer) <= {NO_HEAD}:
            raise ValueError(f"{name} has {layer}, a layer without any head; expected at least one")
        for kind in [layer] if isinstance(layer, str) else layer:
            if kind not in allowed:
                raise ValueError(f"{name} has {kind!r}; expected {', '.join(map(repr, allowed))}")
