"""Seeded split of records into a training and a held-out part."""

from typing import TypeVar

import numpy as np

from reformer.data.errors import DataError

Record = TypeVar("Record")


def hold_out(
    records: list[Record], *, fraction: float, seed: int, what: str = "document", place: str | None = None
) -> tuple[list[Record], list[Record]]:
    """The training and the validation records, both in their order; `seed` alone decides which are held out.

    Args:
        records: all training records.
        fraction: how many of them are held out, at least one.
        what: the singular noun for a record, for the error.
        place: the file or data set of the records, for the error.

    Raises:
        DataError: at `place`, fewer than two records.

    >>> hold_out(list("abcdef"), fraction=0.3, seed=0)
    (['a', 'b', 'e', 'f'], ['c', 'd'])
    """
    if len(records) < 2:
        raise DataError(
            place,
            None,
            f"there is {len(records)} training {what}, too few to hold one out for validation",
            f"give more {what}s, a validation file, or a smaller data.max_length",
        )
    count = max(1, round(len(records) * fraction))
    held_out = set(np.random.default_rng(seed).permutation(len(records))[:count].tolist())
    train = [record for index, record in enumerate(records) if index not in held_out]
    return train, [records[index] for index in sorted(held_out)]
