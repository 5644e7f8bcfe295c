"""Idle options: those that have no effect unless another one is on, and so are a mistake where it is off."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from reformer.models.layer_kinds.table import LAYER_KINDS

Fields = Callable[[str], Any]
"""The value of a field by its name."""


@dataclass(frozen=True)
class Dependence:
    """Options, the condition under which they have an effect, and the option that brings it about."""

    options: tuple[str, ...]
    in_effect: Callable[[Fields], Any]
    needed: str


def _has_fusion_layers(fields: Fields) -> bool:
    return fields("classifier_pooling") == "fusion" or _is_shortened(fields)


def _is_shortened(fields: Fields) -> bool:
    return bool(fields("shortened_layers") or fields("decoder_shortened_layers"))


def _has_windows(fields: Fields) -> bool:
    layers = [*fields("attention_layers"), *(fields("decoder_attention_layers") or [])]
    kinds = {kind for layer in layers for kind in ([layer] if isinstance(layer, str) else layer)}
    return not kinds.isdisjoint({"local", "lsh", "local+lsh"})


DEPENDENCES = (
    Dependence(
        ("ngram_rows", "ngram_width", "ngram_dropout", "ngram_min_frequency"),
        lambda fields: fields("ngram_sizes"),
        "ngram_sizes, such as [2, 3]",
    ),
    Dependence(
        ("wide_reads", "wide_rows", "wide_dropout"),
        lambda fields: fields("wide_sizes"),
        "wide_sizes, such as [1, 2, 3]",
    ),
    Dependence(
        ("score_polynomial_order",),
        lambda fields: fields("score_transform") == "polynomial",
        'score_transform="polynomial"',
    ),
    Dependence(("time_bias_steps",), lambda fields: fields("time_bias_length"), "a time_bias_length"),
    Dependence(
        ("circulant_block",),
        lambda fields: fields("feed_forward_linear") == "circulant",
        'feed_forward_linear="circulant"',
    ),
    Dependence(("bottleneck_act",), lambda fields: fields("bottleneck_size"), "a bottleneck_size"),
    Dependence(
        ("fusion_kernel", "fusion_ranges", "fusion_size"),
        _has_fusion_layers,
        'classifier_pooling="fusion" or shortened_layers',
    ),
    Dependence(
        ("fusion_stride",), lambda fields: fields("classifier_pooling") == "fusion", 'classifier_pooling="fusion"'
    ),
    Dependence(("shorten_stride",), _is_shortened, "shortened_layers"),
    Dependence(
        ("axial_pos_shape", "axial_pos_embds_dim"),
        lambda fields: fields("position_embedding_type") == "axial",
        'position_embedding_type="axial"',
    ),
    Dependence(("global_tokens",), _has_windows, 'a layer with heads of the kind "local", "lsh" or "local+lsh"'),
    Dependence(
        ("recompute",), lambda fields: fields("residual_streams") == 1, "residual_streams=1, and reversible=False"
    ),
    Dependence(
        ("rope_theta", "rotary_scaling", "partial_rotary_factor"),
        lambda fields: fields("position_embedding_type") == "rotary",
        'position_embedding_type="rotary"',
    ),
    Dependence(
        (
            "decoder_attention_layers",
            "cross_attention_layers",
            "decoder_shortened_layers",
            "decoder_start_token_id",
        ),
        lambda fields: fields("is_encoder_decoder"),
        "is_encoder_decoder=True",
    ),
)
"""Windows, buckets and rounds are not among them: they stay where they are while kinds of attention are compared."""


def idle_options(fields: Fields, default: Fields) -> dict[str, str]:
    """Options that differ from their default and yet have no effect, each with the option that would give it one."""
    return {
        name: dependence.needed
        for dependence in dependences()
        if not dependence.in_effect(fields)
        for name in dependence.options
        if plain(fields(name)) != plain(default(name))
    }


def dependences() -> Iterator[Dependence]:
    """Every dependence: those between fields, and of the options of each layer kind."""
    yield from DEPENDENCES
    for name, kind in LAYER_KINDS.items():
        yield Dependence(kind.options, partial(_has_layers, name), f'a layer of the kind "{name}"')


def _has_layers(name: str, fields: Fields) -> bool:
    return name in [*fields("attention_layers"), *(fields("decoder_attention_layers") or [])]


def refusal(idle: dict[str, str], fields: Fields, names: Iterable[str] | None = None) -> str | None:
    """Error message for the first idle option, or for the first among `names`; None if there is none."""
    chosen = idle if names is None else [name for name in idle if name in set(names)]
    for name in chosen:
        return f"{name}={plain(fields(name))!r} has no effect without {idle[name]}; give that too, or leave {name} out"
    return None


def plain(value: Any) -> Any:
    """A field's value as JSON has it, where tuples are lists."""
    return list(value) if isinstance(value, tuple) else value
