"""Fullness of the buckets of one head, round by round."""

import math
from dataclasses import dataclass

import torch

from reformer.nn.attention_call import AttentionCall


@dataclass(frozen=True, slots=True)
class Fullness:
    """How the keys of a text lie in the buckets of a hash round."""

    mean: float
    """Keys a bucket."""
    greatest: int
    empty: float
    """The share of buckets without a key."""
    effective: float
    """`exp` of the entropy of a key's bucket: the number of buckets that would be as uneven if all were alike."""


def fullness(call: AttentionCall, head: int, buckets: int) -> list[Fullness]:
    """The fullness in each round of the call's first row; padding is no key.

    Args:
        head: its place in the call.
        buckets: how many there are a round.
    """
    found = []
    for of_round in call.key_buckets[0, head]:
        counts = torch.bincount(of_round[call.mask[0]], minlength=buckets).double()
        shares = counts / counts.sum().clamp_min(1)
        entropy = -float(torch.xlogy(shares, shares).sum())
        found.append(
            Fullness(float(counts.mean()), int(counts.max()), float((counts == 0).double().mean()), math.exp(entropy))
        )
    return found


def together(texts: list[list[Fullness]]) -> list[Fullness]:
    """The fullness in each round over several texts: means, and the greatest of all."""

    def mean(name: str, number: int) -> float:
        return sum(getattr(text[number], name) for text in texts) / len(texts)

    return [
        Fullness(
            mean("mean", number),
            max(text[number].greatest for text in texts),
            mean("empty", number),
            mean("effective", number),
        )
        for number in range(len(texts[0]))
    ]
