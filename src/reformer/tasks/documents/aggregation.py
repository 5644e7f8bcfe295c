"""Aggregation of the tags of a word's tokens to one tag, under the names that transformers' pipeline has."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from reformer.data.label_layers import layer_tags
from reformer.data.labels import TokenGroup

AggregationStrategy = Literal["simple", "first", "average", "max"]
"""How the tag of a word is found: not at all (each token has its own), that of its first token, the mean of the
probabilities of its tokens, or those of the token that is surest."""


def aggregated(
    logits: Float[np.ndarray, "length labels"],
    starts: Int[np.ndarray, " groups"],
    labels: Sequence[str],
    strategy: AggregationStrategy,
) -> tuple[Float[np.ndarray, "groups labels"], list[TokenGroup]]:
    """Logits of groups of tokens, and the groups. A group of one token keeps its own logits, bit for bit.

    Types are aggregated, not tags: whether an entity begins at a group or goes on there, its first token says, since in
    an entity's first word all tokens but the first one have an `I-` tag. The speaker of a group is its first token with
    "first", else the surest.

    Args:
        starts: the first token of each group, of which the last ends with the text.
        labels: the tags' names, "O", "B-X" and "I-X"; where there are several layers, of each.
        strategy: any but "simple", in which there are no groups.
    """
    ends = [*starts[1:].tolist(), len(logits)]
    groups = [TokenGroup(first, end - 1, first) for first, end in zip(starts.tolist(), ends, strict=True)]
    rows = logits[starts]
    if strategy == "first":
        return rows, groups
    # The labels of one type, or of several that lie over each other: they differ in what begins and what goes on.
    alike: dict[tuple[str, ...], list[int]] = {}
    for number, label in enumerate(labels):
        alike.setdefault(tuple(tag[2:] for tag in layer_tags(label)), []).append(number)
    kinds, least = list(alike.values()), np.finfo(np.float64).tiny
    for number, (first, last, _) in enumerate(groups):
        if first == last:
            continue
        tokens = _softmax(logits[first : last + 1].astype(np.float64))
        types = np.stack([tokens[:, kind].sum(1) for kind in kinds], axis=1)
        surest = int(types.max(1).argmax())
        whole = types.mean(0) if strategy == "average" else types[surest]
        # The likeliest of its tags has all of a type's probability, or else "O" would win against either half.
        row = np.empty(len(labels))
        for probability, kind in zip(whole, kinds, strict=True):
            row[kind] = probability * tokens[0, kind] / max(tokens[0, kind].max(), least)
        rows[number] = np.log(np.maximum(row, least))
        groups[number] = TokenGroup(first, last, first + surest)
    return rows, groups


def _softmax(logits: Float[np.ndarray, "length labels"]) -> Float[np.ndarray, "length labels"]:
    # That of scipy would cost a command the import of scipy.
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)
