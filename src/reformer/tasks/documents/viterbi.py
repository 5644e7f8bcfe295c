"""Viterbi decoding: the sequence of BIO tags with the greatest sum of logits."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int


def best_tags(logits: Float[np.ndarray, "length labels"], labels: Sequence[str]) -> Int[np.ndarray, " length"]:
    """Ids of the tags with the greatest sum of logits among the sequences in which every `I-X` follows `B-X` or `I-X`.

    The best tag of each token alone makes no such sequence where a model is in doubt at an entity's beginning, and the
    rest of the entity would be dropped. (Viterbi 1967, with transitions that are allowed or not.)

    Args:
        logits: one for each token and tag.
        labels: the tags' names, "O", "B-X" and "I-X".

    Example:
        >>> logits = np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 4.0]])
        >>> best_tags(logits, ["O", "B-LOC", "I-LOC"]).tolist()
        [1, 2]
    """
    if not len(logits):
        return np.zeros(0, dtype=np.int64)
    numbers = {label: number for number, label in enumerate(labels)}
    free = [number for label, number in numbers.items() if not label.startswith("I-")]
    bound = [(number, numbers[f"B-{label[2:]}"]) for label, number in numbers.items() if label.startswith("I-")]
    rows = logits.astype(np.float64).tolist()
    total = [float("-inf")] * len(labels)
    for number in free:
        total[number] = rows[0][number]
    before: list[list[int]] = []
    for row in rows[1:]:
        best = max(range(len(labels)), key=total.__getitem__)
        came_from, now = [best] * len(labels), [total[best] + score for score in row]
        for inside, begin in bound:
            came_from[inside] = inside if total[inside] >= total[begin] else begin
            now[inside] = total[came_from[inside]] + row[inside]
        before.append(came_from)
        total = now
    tag = max(range(len(labels)), key=total.__getitem__)
    tags = [tag]
    for came_from in reversed(before):
        tag = came_from[tag]
        tags.append(tag)
    return np.array(tags[::-1], dtype=np.int64)
