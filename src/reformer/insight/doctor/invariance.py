"""Properties of a model's answers: padding, batch-mates, causality, pieces, lengths."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from reformer.insight.doctor.examination import Deviation, greatest, worst_of
from reformer.insight.doctor.subject import Inputs, Size, Subject, TokenSubject

PADDINGS = (1, 7, 30)
"""Tokens of padding that are tried."""


def padding_on(side: str) -> Any:
    """Measure of what padding on the `left` or the `right` changes."""

    def measure(subject: Subject, size: Size) -> Deviation:
        inputs = subject.draw(size)
        bare = subject.answers(inputs)
        return worst_of(_padded(subject, inputs, bare, side))

    return measure


def _padded(subject: Subject, inputs: Inputs, bare: Tensor, side: str) -> Iterator[Deviation]:
    by_token, length = subject.by_token(bare, inputs), subject.length(inputs)
    for count in PADDINGS:
        padded = subject.padded(inputs, count, side) if length + count <= subject.longest else None
        if padded is None:
            continue
        found = subject.answers(padded)
        if by_token:
            found = found[:, count:] if side == "left" else found[:, :length]
        yield greatest(found, bare, f"{count} tokens of padding on the {side}", by_token=by_token)


def refuses_padding_on(side: str) -> Any:
    """Why padding on a side does not apply, or None."""

    def refusal(subject: Subject) -> str | None:
        if subject.padded(subject.draw(Size(1, 2)), 1, side) is None:
            return f"this model has no padding on the {side}"
        return None

    return refusal


def batch_mates(subject: Subject, size: Size) -> Deviation:
    """What the other rows of a batch change in a row: their content, their padding, and that they are there."""
    own, others = subject.draw(size), subject.draw(Size(size.batch, size.length, size.seed + 101))
    alone = {name: each[:1] for name, each in own.items()}
    bare = subject.answers(alone)
    by_token = subject.by_token(bare, own)

    def beside(mates: Inputs, where: str) -> Deviation:
        together = {name: torch.cat((each, mates[name])) for name, each in alone.items()}
        return greatest(subject.answers(together)[:1], bare, where, by_token=by_token)

    found = [beside(own, "a row alone and in a batch"), beside(others, "a row beside other rows")]
    if "attention_mask" in others:
        padded = dict(others, attention_mask=others["attention_mask"].clone())
        padded["attention_mask"][:, (size.length + 1) // 2 :] = 0
        found.append(beside(padded, "a row beside padded rows"))
    return worst_of(found)


def causality(subject: Subject, size: Size) -> Deviation:
    """What tokens change in outputs before them."""
    inputs = subject.draw(size)
    before = subject.answers(inputs)
    length = before.shape[1]
    found = []
    # From the first one that could leak to the last one.
    for first in sorted({1, 2, length // 2, length - 1} & set(range(1, length))):
        edited = subject.edited(inputs, first, size)
        assert edited is not None
        after = subject.answers(edited)
        where = f"other tokens from {first} on"
        found.append(greatest(after[:, :first], before[:, :first], where, by_token=True))
    return worst_of(found)


def refuses_causality(subject: Subject) -> str | None:
    """Why causality does not apply, or None."""
    if not subject.is_causal:
        return "this model reads both sides"
    inputs = subject.draw(Size(1, 3))
    found = subject.answers(inputs)
    if not subject.config.is_encoder_decoder and not subject.by_token(found, inputs):
        return "this model has one output for a whole sequence"
    return None


def pieces(subject: Subject, size: Size) -> Deviation:
    """What reading in pieces with a cache changes."""
    inputs = subject.draw(size)
    ids = inputs["input_ids"]
    whole = subject.answers(inputs)
    length = size.length
    found = []
    for cuts in _cuts(length):
        cache, parts = None, []
        for piece in ids.split(cuts, dim=1):
            options = {"use_cache": True} | ({} if cache is None else {"past_key_values": cache})
            with torch.no_grad():
                output = subject.model(input_ids=piece, **options)
            cache = output.get("past_key_values")
            if cache is None:
                return Deviation(math.inf, where="the model gives no cache")
            parts.append(output["logits"] if "logits" in output else output["last_hidden_state"])
        where = f"read in pieces of {', '.join(map(str, cuts[:3]))}{', ...' * (len(cuts) > 3)}"
        found.append(greatest(torch.cat(parts, 1), whole, where, by_token=True))
    return worst_of(found)


def _cuts(length: int) -> list[list[int]]:
    """Ways to cut a sequence: token by token, in two, and unevenly."""
    half = [length - length // 2, length // 2] if length > 1 else [1]
    uneven = [size for size in (length // 3, 1, length - length // 3 - 1) if size > 0]
    return [[1] * length, half, uneven]


def refuses_pieces(subject: Subject) -> str | None:
    """Why reading in pieces does not apply, or None."""
    if not isinstance(subject, TokenSubject) or subject.config.is_encoder_decoder:
        return "this model reads its input at once"
    reason = refuses_causality(subject)
    if reason is not None:
        return reason
    try:
        with torch.no_grad():
            found = subject.model(**subject.draw(Size(1, 2)), use_cache=True)
    # That it cannot is for the examination to tell.
    except Exception:
        return None
    return None if found.get("past_key_values") is not None else "this model gives no cache"


def lengths(subject: Subject, size: Size) -> Deviation:
    """Whether a training step at this length gives finite gradients."""
    with subject.training():
        loss = subject.loss(subject.draw(size))
        if not loss.requires_grad:
            return Deviation(math.inf, where="the outputs have no gradient")
        loss.backward()
        for name, parameter in subject.model.named_parameters():
            if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
                return Deviation(math.inf, where=f"the gradient of {name} is not finite")
        return Deviation(0.0 if bool(loss.isfinite()) else math.inf, where="the loss")
