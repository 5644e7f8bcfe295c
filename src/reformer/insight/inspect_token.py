"""Tokens that one token saw in a head: by which orderings, and with which weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from reformer.insight.inspect_recall import sampled_queries
from reformer.nn.attention_call import AttentionCall

MOST_SEEN = 20
"""Tokens of a head that are told, at most: those of the greatest weight."""


@dataclass(frozen=True, slots=True)
class SeenToken:
    """A token that another one saw."""

    token: int
    """Its number in the text, from 0."""
    weight: float
    """In the layer's own softmax, over all that was seen."""
    full_weight: float
    """In the softmax over all that full attention would see."""
    orderings: tuple[str, ...]
    """The orderings in which it was near."""


@dataclass(frozen=True, slots=True)
class TokenView:
    """What a token saw in one head."""

    layer: int
    head: int
    seen: int
    """How many tokens it saw."""
    held: float
    """The share of full attention's weight that these have."""
    tokens: list[SeenToken]
    """Those of the greatest weight first."""


def token_view(
    call: AttentionCall, place: int, names: Sequence[str], *, layer: int, head: int, number: int
) -> TokenView:
    """What the token at a place of the call's first row saw.

    Args:
        place: of a real token.
        names: of the orderings of the layer; the call may have more.
        layer, head: to be told.
        number: the head's place in the call.
    """
    places = torch.tensor([place], device=call.query.device)
    asked = sampled_queries(call, number, places)
    near, full = asked.near[: len(names), 0], asked.weights[0]
    union = near.any(0)
    if not union.any():
        # A token that sees no other sees itself, by every ordering that has it.
        own = sampled_queries(call._replace(attend_self=True), number, places)
        near = own.near[: len(names), 0] & (torch.arange(len(full), device=full.device) == place)
        union = near.any(0)
    weights = asked.scores[0].masked_fill(~union, -torch.inf)
    weights = weights.softmax(-1) if union.any() else torch.zeros_like(full)
    found = [index for index in weights.argsort(descending=True, stable=True).tolist() if union[index]]
    real = (call.mask[0].cumsum(-1) - 1).tolist()
    tokens = [
        SeenToken(
            real[index],
            float(weights[index]),
            float(full[index]),
            tuple(name for name, is_near in zip(names, near[:, index].tolist(), strict=True) if is_near),
        )
        for index in found[:MOST_SEEN]
    ]
    return TokenView(layer, head, len(found), float(full[union].sum()), tokens)
