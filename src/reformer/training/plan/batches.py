"""Batches to measure: cut from those of a run, and growing towards its largest."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from reformer.models.heads.base import IGNORE_INDEX
from reformer.training.plan.growth import Shape

Batch = Mapping[str, Any]

FIRST_TOKENS = 512
"""Tokens of the smallest batch that is measured, about."""

GROWTH = 4
"""From one batch that is measured to the next."""


@dataclass(frozen=True)
class Source:
    """Batch of a run, of which smaller ones are cut.

    Args:
        batch: its tensors, as they are collated.
        shape: of the whole.
        length: of what has an entry a token; None where rows cannot be cut, and are fewer or more alone.
    """

    batch: Batch
    shape: Shape
    length: int | None

    def cut(self, shape: Shape) -> dict[str, Any]:
        """The batch in another shape: rows repeated or left out, and what has an entry a token cut.

        Tokens are real everywhere: what padding saves is not planned with.
        """
        found: dict[str, Any] = {}
        for name, each in self.batch.items():
            if not isinstance(each, Tensor) or not each.dim():
                found[name] = each
                continue
            rows = each.repeat(-(-shape.rows // len(each)), *(1,) * (each.dim() - 1))[: shape.rows]
            found[name] = rows[:, : shape.length] if each.dim() > 1 and each.shape[1] == self.length else rows
        if self.length is not None and "attention_mask" in found:
            found["attention_mask"] = torch.ones_like(found["attention_mask"])
        return found if "character_pieces" not in found else _of_characters(found, shape.length)

    def growing(self, parts: int) -> Iterator[Shape]:
        """Shapes that grow towards the whole, four times each: in length first, and then in rows.

        Args:
            parts: the rows of the smallest, since batches of fewer are computed otherwise.
        """
        rows, length = min(self.shape.rows, parts), self.shape.length
        if self.length is not None:
            first = min(FIRST_TOKENS, math.ceil(self.shape.tokens / 4))
            length = min(length, max(1, first // rows))
        while True:
            yield Shape(rows, length)
            if length < self.shape.length:
                length = min(GROWTH * length, self.shape.length)
            elif rows < self.shape.rows:
                rows = min(GROWTH * rows, self.shape.rows)
            else:
                return


def _of_characters(batch: dict[str, Any], length: int) -> dict[str, Any]:
    """A batch with a label a character: without the characters of tokens that were cut off."""
    inside = batch["character_pieces"] < length
    kept = int(inside.any(0).sum())
    found = {name: each[:, :kept] for name, each in batch.items() if name.startswith("character_") or name == "labels"}
    gone = ~inside[:, :kept]
    for name, fill in (("character_pieces", -1), ("labels", IGNORE_INDEX)):
        found[name] = found[name].masked_fill(gone, fill)
    return batch | found
