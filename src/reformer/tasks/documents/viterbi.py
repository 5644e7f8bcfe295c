"""Viterbi decoding: the sequence of BIO tags with the greatest sum of logits."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from reformer.data.label_layers import layer_tags


def goes_on(label: str) -> bool:
    """Whether a label goes on with an entity, in any layer."""
    return any(tag.startswith("I-") for tag in layer_tags(label))


def may_follow(before: str, label: str) -> bool:
    """Whether a label can stand behind another one: each `I-X` behind `B-X` or `I-X` of its layer."""
    pairs = zip(layer_tags(before), layer_tags(label), strict=True)
    return all(not tag.startswith("I-") or last[2:] == tag[2:] for last, tag in pairs)


def best_tags(logits: Float[np.ndarray, "length labels"], labels: Sequence[str]) -> Int[np.ndarray, " length"]:
    """Ids of the tags with the greatest sum of logits among the sequences in which every `I-X` follows `B-X` or `I-X`.

    The best tag of each token alone makes no such sequence where a model is in doubt at an entity's beginning, and the
    rest of the entity would be dropped. (Viterbi 1967, with transitions that are allowed or not.)

    Args:
        logits: one for each token and tag.
        labels: the tags' names, "O", "B-X" and "I-X"; where there are several layers, in each.

    Example:
        >>> logits = np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 4.0]])
        >>> best_tags(logits, ["O", "B-LOC", "I-LOC"]).tolist()
        [1, 2]
    """
    if not len(logits):
        return np.zeros(0, dtype=np.int64)
    free = [number for number, label in enumerate(labels) if not goes_on(label)]
    # The tag itself first: of equal ones it is taken.
    bound = [
        (
            number,
            [number, *(each for each, before in enumerate(labels) if each != number and may_follow(before, label))],
        )
        for number, label in enumerate(labels)
        if goes_on(label)
    ]
    rows = logits.astype(np.float64).tolist()
    total = [float("-inf")] * len(labels)
    for number in free:
        total[number] = rows[0][number]
    before: list[list[int]] = []
    for row in rows[1:]:
        best = max(range(len(labels)), key=total.__getitem__)
        came_from, now = [best] * len(labels), [total[best] + score for score in row]
        for inside, possible in bound:
            came_from[inside] = max(possible, key=total.__getitem__)
            now[inside] = total[came_from[inside]] + row[inside]
        before.append(came_from)
        total = now
    tag = max(range(len(labels)), key=total.__getitem__)
    tags = [tag]
    for came_from in reversed(before):
        tag = came_from[tag]
        tags.append(tag)
    return np.array(tags[::-1], dtype=np.int64)
