"""Nearness of a converted model to its original on texts of which both are not the same function."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

CHUNKS = 8
"""The length of the text that both read, in lengths up to which they are the same function."""


@dataclass(frozen=True)
class Nearness:
    """How far two models' outputs for a text of random tokens are apart, behind the tokens that both see alike."""

    length: int
    """Tokens of the text."""
    deviation: float
    """Norm of the difference of the logits, or without a head of the hidden states, by the original's norm."""
    agreement: float | None
    """Share of the tokens whose first choice is the same; None in a model without a head."""
    own_deviation: float
    """As `deviation`, of the original from itself with other hash rotations, which it draws at each pass."""
    own_agreement: float | None

    def in_words(self) -> str:
        """A line for the user."""
        own = ""
        if self.own_deviation:
            own = f"; the original's own under other rotations by {_figures(self.own_deviation, self.own_agreement)}"
        return (
            f"of {self.length} random tokens its answers are apart from the original's by "
            f"{_figures(self.deviation, self.agreement)}{own}"
        )


def _figures(deviation: float, agreement: float | None) -> str:
    alike = "" if agreement is None else f", with the same first choice at {agreement:.1%} of the tokens"
    return f"{deviation:.1%}{alike}"


@torch.no_grad()
def nearness(theirs: Any, ours: Any, alike: int, multiple: int) -> Nearness | None:
    """How near a converted model comes to the original beyond `alike` tokens, up to which both are the same function;
    None if they read no more than these. The text has a multiple of so many tokens, to which theirs would pad it."""
    config = ours.config
    length = min(config.max_position_embeddings, max(CHUNKS * alike, multiple)) // multiple * multiple
    if length <= alike:
        return None
    generator = torch.Generator("cpu").manual_seed(0)
    ids = torch.randint(config.vocab_size, (1, length), generator=generator, device="cpu")
    # Theirs draws its rotations by the global generator, which stays as it was.
    with torch.random.fork_rng(devices=[]):
        expected, again = (_outputs(theirs, ids, seed)[:, alike:] for seed in (0, 1))
    found = _outputs(ours, ids)[:, alike:]
    has_head = ours.base_model is not ours
    return Nearness(
        length,
        _deviation(found, expected),
        _agreement(found, expected) if has_head else None,
        _deviation(again, expected),
        _agreement(again, expected) if has_head else None,
    )


def _outputs(model: Any, ids: Int[Tensor, "1 length"], seed: int | None = None) -> Float[Tensor, "1 length channels"]:
    if seed is not None:
        torch.manual_seed(seed)
    outputs = model(input_ids=ids)
    return outputs.logits if "logits" in outputs else outputs.last_hidden_state


def _deviation(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def _agreement(found: Tensor, expected: Tensor) -> float:
    return float((found.argmax(-1) == expected.argmax(-1)).float().mean())
