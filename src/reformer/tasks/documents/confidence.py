"""Probability of each predicted entity: that of all sequences of tags that are read as it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from reformer.data import Span
from reformer.data.label_layers import layer_tags
from reformer.data.labels import TaggedSpan
from reformer.models import ReformerForTokenClassification
from reformer.tasks.documents.viterbi import goes_on, may_follow

PORTION = 1 << 22
"""Labels of tokens of segments that are held at a time."""


def scored_spans(
    model: ReformerForTokenClassification,
    output: Any,
    real: Bool[Tensor, "batch length"],
    found: Sequence[Sequence[TaggedSpan]],
    labels: Sequence[str],
) -> list[tuple[Span, ...]]:
    """The entities of each row of a batch, with their probabilities before calibration (`docs/math.md`, 51).

    Args:
        output: of the forward pass in which they were found.
        real: True for the tokens or characters of the texts.
        labels: the names of the tags.
    """
    numbered = [(row, tagged) for row, spans in enumerate(found) for tagged in spans]
    follows = torch.tensor([[may_follow(before, label) for label in labels] for before in labels]).to(real.device)
    first = torch.tensor([not goes_on(label) for label in labels]).to(real.device)
    scores = [0.0] * len(numbered)
    for numbers in _portions([_last(tagged) - tagged.tokens[0] + 1 for _, tagged in numbered], len(labels)):
        segments = _segments([numbered[number] for number in numbers], labels)
        on_device = {name: value.to(real.device) for name, value in segments.items()}
        logarithms = model.segment_log_probability(output, real, follows, first, **on_device)
        for number, score in zip(numbers, logarithms.exp().tolist(), strict=True):
            scores[number] = score
    left = iter(scores)
    return [tuple(replace(tagged.span, score=next(left)) for tagged in spans) for spans in found]


def _portions(lengths: Sequence[int], labels: int) -> Iterator[list[int]]:
    """The numbers of segments, those of about one length together: one long one among many would make all as long."""
    portion: list[int] = []
    for number in sorted(range(len(lengths)), key=lengths.__getitem__):
        if portion and (len(portion) + 1) * lengths[number] * labels > PORTION:
            yield portion
            portion = []
        portion.append(number)
    if portion:
        yield portion


def _segments(numbered: Sequence[tuple[int, TaggedSpan]], labels: Sequence[str]) -> dict[str, Tensor]:
    """The entities, each with the row it is in, as `chain_segment_log_probability` takes segments."""
    layers = list(zip(*map(layer_tags, labels), strict=True))
    sets = [_allowed(tagged, layers[tagged.layer]) for _, tagged in numbered]
    allowed = torch.ones(len(sets), max(map(len, sets)), len(labels), dtype=torch.bool)
    for place, each in zip(allowed, sets, strict=True):
        place[: len(each)] = each
    return {
        "rows": torch.tensor([row for row, _ in numbered]),
        "starts": torch.tensor([tagged.tokens[0] for _, tagged in numbered]),
        "allowed": allowed,
        "lengths": torch.tensor(list(map(len, sets))),
    }


def _last(tagged: TaggedSpan) -> int:
    return tagged.tokens[-1] if tagged.following is None else tagged.following


def _allowed(tagged: TaggedSpan, tags: Sequence[str]) -> Bool[Tensor, "tokens labels"]:
    """The labels with which each token, from the entity's first to the one that ends it, is read as this entity.

    Args:
        tags: of each label, in the entity's layer.
    """
    first, last = tagged.tokens[0], _last(tagged)
    allowed = torch.ones(last - first + 1, len(tags), dtype=torch.bool)
    begin, inside = (torch.tensor([tag == f"{letter}-{tagged.span.label}" for tag in tags]) for letter in "BI")
    for token in tagged.tokens:
        allowed[token - first] = begin | inside if token in tagged.typed else begin if token == first else inside
    if tagged.following is not None:
        allowed[-1] = ~inside
    return allowed
