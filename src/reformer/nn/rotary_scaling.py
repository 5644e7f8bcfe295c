"""Scaling of rotary positions, by which models read longer texts than those that they first learned from."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

Scaling = Mapping[str, Any]
"""Type ("linear", "llama3" or "yarn" as `rope_type`) and numbers of a scaling, as transformers calls them."""

REQUIRED: dict[str, tuple[str, ...]] = {
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    "yarn": ("factor", "original_max_position_embeddings"),
}
"""What each type of scaling must say."""

OPTIONAL: dict[str, tuple[str, ...]] = {
    "linear": (),
    "llama3": (),
    "yarn": ("attention_factor", "beta_fast", "beta_slow", "truncate"),
}
"""What it may say."""


def rotary_frequencies(
    width: int, base: float | int, scaling: Scaling | None = None, device: torch.device | None = None
) -> Float[Tensor, " half"]:
    """Angle by which each pair of coordinates turns from one position to the next, in float64: `base^(-2 k / width)`,
    and scaled (`docs/math.md`, rotary positions).

    Args:
        width: how many coordinates turn.
        scaling: None for none.
    """
    plain = float(base) ** -(torch.arange(0, width, 2, dtype=torch.float64, device=device) / width)
    if scaling is None:
        return plain
    scaled = plain / scaling["factor"]
    if scaling["rope_type"] == "linear":
        return scaled
    kept = (_kept_by_llama3 if scaling["rope_type"] == "llama3" else _kept_by_yarn)(plain, width, base, scaling)
    return kept * plain + (1 - kept) * scaled


def attention_factor(scaling: Scaling | None) -> float:
    """Factor of the queries and of the keys that "yarn" goes with: `1 + 0.1 ln(factor)` unless it is given."""
    if scaling is None or scaling["rope_type"] != "yarn":
        return 1.0
    given = scaling.get("attention_factor")
    return float(1 + 0.1 * math.log(max(1.0, scaling["factor"])) if given is None else given)


def _kept_by_llama3(plain: Tensor, width: int, base: float | int, scaling: Scaling) -> Tensor:
    """Share of the plain frequency: all where a turn is short, none where it is long (Llama 3.1, 2024)."""
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    turns = scaling["original_max_position_embeddings"] * plain / (2 * math.pi)
    return ((turns - low) / (high - low)).clamp(0, 1)


def _kept_by_yarn(plain: Tensor, width: int, base: float | int, scaling: Scaling) -> Tensor:
    """The same, over the numbers of the pairs of coordinates (Peng et al. 2023, section 3.2)."""

    def pair_of(turns: float | int) -> float:
        longest = scaling["original_max_position_embeddings"]
        return width * math.log(longest / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = pair_of(scaling.get("beta_fast", 32)), pair_of(scaling.get("beta_slow", 1))
    if scaling.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, width - 1)
    # Without a difference the ramp would divide by zero.
    ramp = (torch.arange(len(plain), dtype=torch.float64, device=plain.device) - low) / (high - low or 0.001)
    return 1 - ramp.clamp(0, 1)
