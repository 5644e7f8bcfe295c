"""Seeded split of records into a training and a held-out part."""

from typing import TypeVar

import numpy as np

from reformer.data.errors import DataError
from reformer.recipe import DataRecipe

Record = TypeVar("Record")


def hold_out(records: list[Record], recipe: DataRecipe, seed: int, kind: str) -> tuple[list[Record], list[Record]]:
    """What to learn from and, chosen by the seed, the recipe's part for validation; both in their order.

    Raises:
        DataError: there are too few; `kind` says of what.
    """
    if len(records) < 2:
        raise DataError(
            recipe.train,
            None,
            f"there is {len(records)} training {kind}, too few to hold one out for validation",
            f"give more {kind}s, a validation file, or a smaller data.max_length",
        )
    count = max(1, round(len(records) * recipe.validation_fraction))
    chosen = set(np.random.default_rng(seed).permutation(len(records))[:count].tolist())
    train = [record for index, record in enumerate(records) if index not in chosen]
    return train, [records[index] for index in sorted(chosen)]
