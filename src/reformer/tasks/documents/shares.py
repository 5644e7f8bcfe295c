"""Shares of the training documents: the points of a learning curve."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np

SHARES = (0.125, 0.25, 0.5)
"""Less than the whole together, so that a method whose time grows with the documents takes no longer for all of them
than for the whole."""
MIN_DOCUMENTS = 5
"""Of a share; from fewer documents a score says which ones they are."""


def nested_shares(labels: Sequence[Collection[str]], seed: int) -> Iterator[list[int]]:
    """The numbers of the documents of each share, the smallest share first; those of fewer than `MIN_DOCUMENTS` are
    left out.

    Each share holds the one before it. Documents are taken in an order that `seed` alone decides, but those first that
    are the first with one of their labels in that order, so that each share has every label if it has room for them.

    Args:
        labels: of each document, none or several.

    Returns:
        The numbers in the order of the documents, counted from 0.

    >>> list(nested_shares([["rare"], *[["frequent"]] * 19], seed=0))
    [[0, 2, 4, 6, 19], [0, 2, 3, 4, 6, 10, 11, 13, 16, 19]]
    """
    known, first, others = set[str](), list[int](), list[int]()
    for number in np.random.default_rng(seed).permutation(len(labels)).tolist():
        (others if known.issuperset(labels[number]) else first).append(number)
        known.update(labels[number])
    order = first + others
    for share in SHARES:
        count = round(share * len(order))
        if count >= MIN_DOCUMENTS:
            yield sorted(order[:count])
