"""Checks of the fields of rotary positions."""

import math
from typing import Any

from reformer.models.configuration.fields import ATTENTION_KINDS, ReformerFields
from reformer.models.layer_kinds.table import kind_of
from reformer.nn.rotary_scaling import OPTIONAL, REQUIRED, attention_factor

MOST = 1 << 48
"""The most that a number of a scaling may be."""


def check_rotary(fields: ReformerFields) -> None:
    """Raise a `ValueError` unless width, base and scaling of rotary positions make sense."""
    _check_width(fields)
    _check_theta(fields)
    if fields.rotary_scaling is not None:
        _check_scaling(fields)


def _check_width(fields: ReformerFields) -> None:
    share, size = fields.partial_rotary_factor, fields.attention_head_size
    if share == 1 and size % 2:
        raise ValueError(f"attention_head_size={size}: rotary positions need an even width")
    if not 0 < share <= 1:
        raise ValueError(f"partial_rotary_factor={share}: expected a share above 0 and up to 1")
    if fields.rotary_width < 2 or fields.rotary_width % 2:
        raise ValueError(
            f"partial_rotary_factor={share} of attention_head_size={size} turns {fields.rotary_width} channels: "
            "expected an even number of at least 2"
        )


def _check_theta(fields: ReformerFields) -> None:
    across = fields.cross_attention_layers or []
    decoder = fields.decoder_attention_layers or []
    layers = [layer for layer in (*fields.attention_layers, *decoder) if kind_of(layer).has_heads]
    used = {group.kind for layer in layers for group in fields.head_groups(layer)} | set(across)
    given = fields.theta_of_kinds
    if unknown := sorted(given.keys() - set(ATTENTION_KINDS)):
        raise ValueError(
            f"rope_theta has {unknown}; expected a number, or one for each of {', '.join(ATTENTION_KINDS)}"
        )
    if missing := sorted(used - given.keys()):
        raise ValueError(f"rope_theta={fields.rope_theta}: none for {missing}, which layers are of; give them one")
    if min(given.values()) <= 0:
        raise ValueError(f"rope_theta={fields.rope_theta}: expected more than 0")


def _check_scaling(fields: ReformerFields) -> None:
    given: dict[str, Any] = dict(fields.rotary_scaling or {})
    told = f"rotary_scaling={given}"
    kind = given.pop("rope_type", None)
    if kind not in REQUIRED:
        raise ValueError(f"{told}: expected a rope_type of {', '.join(REQUIRED)}")
    known = {*REQUIRED[kind], *OPTIONAL[kind]}
    if missing := [name for name in REQUIRED[kind] if name not in given]:
        raise ValueError(f"{told}: {', '.join(missing)} is missing for the type {kind!r}")
    if unknown := [name for name in given if name not in known]:
        raise ValueError(f"{told}: {', '.join(unknown)} is unknown for the type {kind!r}; it has {', '.join(known)}")
    if not isinstance(given.pop("truncate", True), bool):
        raise ValueError(f"{told}: expected truncate=True or False")
    for name, value in given.items():
        if isinstance(value, bool | str) or not 0 < value <= MOST:
            raise ValueError(f"{told}: {name} must be a number above 0, and at most {MOST:,}")
    if given["factor"] < 1:
        raise ValueError(f"{told}: expected a factor of at least 1")
    for low, high in (("low_freq_factor", "high_freq_factor"), ("beta_slow", "beta_fast")):
        if given.get(low, 0) >= given.get(high, math.inf):
            raise ValueError(f"{told}: expected {low} below {high}")
    if kind == "yarn" and min(fields.theta_of_kinds.values()) <= 1:
        raise ValueError(f"{told} with rope_theta={fields.rope_theta}: expected a base above 1")
    if attention_factor(fields.rotary_scaling) != 1 and fields.shared_query_key and fields.is_hashed:
        raise ValueError(
            f"{told}: its attention_factor would change the length of keys that are unit vectors; set "
            "attention_factor to 1.0, or shared_query_key to False"
        )
