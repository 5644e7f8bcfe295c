"""Packed rows: several documents in one row of a batch, told apart by their positions, as transformers' collators have
them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

LONGEST = ("max_length_q", "max_length_k")
"""Arguments that bound the length of a document."""

BORDERS = ("cu_seq_lens_q", "cu_seq_lens_k", *LONGEST, "seq_idx")
"""Other arguments than positions that tell where the documents of a row begin."""


@dataclass(frozen=True)
class PackedRows:
    """Where the tokens of each document stand, so that every document can be given a row of its own."""

    index: Int[Tensor, "documents longest"]
    """Of each token of a document, its place among all tokens of the batch; 0 behind its end."""
    mask: Bool[Tensor, "documents longest"]
    """True for a token of the document."""
    shape: tuple[int, int]
    """The batch's rows and their length."""

    @classmethod
    def of(cls, starts: Bool[Tensor, "batch length"], real: Bool[Tensor, "batch length"]) -> "PackedRows":
        """The documents that begin where `starts` is True; what is not real belongs to none."""
        places = real.flatten().nonzero()[:, 0]
        # Rows begin documents of their own, whatever stands before them.
        document = starts.flatten()[places].cumsum(0) - 1
        sizes = torch.bincount(document)
        within = torch.arange(len(places), device=places.device) - (sizes.cumsum(0) - sizes)[document]
        index = places.new_zeros(len(sizes), int(sizes.max()))
        index[document, within] = places
        mask = torch.arange(index.shape[1], device=places.device) < sizes[:, None]
        return cls(index, mask, (starts.shape[0], starts.shape[1]))

    @property
    def several(self) -> bool:
        """Whether any row has more than one document."""
        rows = self.index[:, 0] // self.shape[1]
        return bool((rows[1:] == rows[:-1]).any())

    def apart(self, tensor: Tensor) -> Tensor:
        """`[batch, length, ...]` as `[documents, longest, ...]`."""
        return tensor.flatten(0, 1)[self.index]

    def together(self, tensor: Tensor) -> Tensor:
        """`[documents, longest, ...]` as `[batch, length, ...]`, zeros at padding."""
        rows = tensor.new_zeros(self.shape[0] * self.shape[1], *tensor.shape[2:])
        return rows.index_put((self.index[self.mask],), tensor[self.mask]).unflatten(0, self.shape)

    def without_firsts(self, labels: Int[Tensor, "batch length"], ignored: int) -> Int[Tensor, "batch length"]:
        """The labels, `ignored` where a document begins."""
        return labels.flatten().index_fill(0, self.index[:, 0], ignored).view(labels.shape)


def packed_rows(
    position_ids: Tensor | None, borders: Mapping[str, Any], real: Bool[Tensor, "batch length"]
) -> PackedRows | None:
    """The documents of rows, by the positions of their tokens or by their borders; None where each row is one, without
    padding in the middle.

    Args:
        position_ids: `[batch, length]` or, the same for all rows, `[1, length]`: 0, 1, ... for every document. Those of
            padding do not matter.
        borders: arguments of `BORDERS`, of FlashAttention: `[documents + 1]` cumulative lengths for a batch of one row,
            or `[batch, length]` the number of each token's document; and bounds of the documents' lengths.

    Raises:
        ValueError: positions that do not count from 0, borders that say something else, or a document that is longer
            than its bound.
    """
    given = {name: value for name, value in borders.items() if value is not None}
    first = real & (real.cumsum(-1) == 1)
    if position_ids is None and not given:
        return PackedRows.of(first, real) if _has_gaps(real) else None
    starts = None if position_ids is None else _starts_of_positions(position_ids, real)
    source = "position_ids"
    for name, value in given.items():
        if name in LONGEST:
            continue
        found = _starts_of_borders(name, value, real)
        if starts is not None and not torch.equal(found & real, starts & real):
            raise ValueError(f"{name} and {source} begin documents at different tokens; give one of them")
        starts, source = found, name
    if starts is None:
        raise ValueError(f"{', '.join(given)} without position_ids or cu_seq_lens_q, which tell where documents begin")
    starts = (starts & real) | first
    bounds = {name: given[name] for name in LONGEST if name in given}
    if torch.equal(starts, first) and not _has_gaps(real):
        _check_longest(bounds, real)
        return None
    packed = PackedRows.of(starts, real)
    _check_longest(bounds, packed.mask)
    return packed


def _check_longest(bounds: Mapping[str, Any], mask: Bool[Tensor, "documents longest"]) -> None:
    """Refuse a bound of the documents' lengths that one of them exceeds; a greater one changes nothing."""
    longest = int(mask.sum(-1).max()) if bounds and mask.numel() else 0
    for name, bound in bounds.items():
        if int(bound) < longest:
            raise ValueError(
                f"{name}={int(bound)}, and a document of {longest} tokens: expected the length of the longest, or "
                "more; leave it out"
            )


def _has_gaps(real: Bool[Tensor, "batch length"]) -> bool:
    """Whether padding stands between real tokens."""
    return bool((~real & (real.cumsum(-1) > 0) & (real.flip(-1).cumsum(-1).flip(-1) > 0)).any())


def _starts_of_positions(position_ids: Tensor, real: Bool[Tensor, "batch length"]) -> Bool[Tensor, "batch length"]:
    if position_ids.dim() != 2 or position_ids.shape[1] != real.shape[1] or len(position_ids) not in (1, len(real)):
        raise ValueError(f"position_ids have shape {tuple(position_ids.shape)}, expected {tuple(real.shape)}")
    position_ids = position_ids.expand(real.shape)
    starts = position_ids == 0
    # The position before, among real tokens: padding may stand anywhere.
    order = (~real).to(torch.int8).argsort(dim=-1, stable=True)
    sorted_ids, sorted_real = position_ids.gather(-1, order), real.gather(-1, order)
    before = torch.nn.functional.pad(sorted_ids[:, :-1], (1, 0), value=-1)
    wrong = sorted_real & (sorted_ids != 0) & (sorted_ids != before + 1)
    if bool(wrong.any()):
        row, column = (int(each) for each in wrong.nonzero()[0])
        told = f"follows {int(before[row, column])}" if column else "is the first"
        raise ValueError(
            f"position_ids have {int(sorted_ids[row, column])} in row {row}, which {told}: positions are 0, 1, 2, ... "
            "from the first token of each document on, and cannot be others; leave them out, or count so"
        )
    return starts


def _starts_of_borders(name: str, value: Any, real: Bool[Tensor, "batch length"]) -> Bool[Tensor, "batch length"]:
    if name == "seq_idx":
        if value.dim() != 2 or value.shape[1] != real.shape[1] or len(value) not in (1, len(real)):
            raise ValueError(f"seq_idx has shape {tuple(value.shape)}, expected {tuple(real.shape)}")
        before = torch.nn.functional.pad(value[:, :-1], (1, 0), value=-1)
        return (value != before).expand(real.shape)
    lengths = value.tolist() if value.dim() == 1 else []
    if len(real) != 1 or lengths != sorted(lengths) or lengths[:1] != [0] or lengths[-1:] != [real.shape[1]]:
        raise ValueError(
            f"{name}={value.tolist()} for input of shape {tuple(real.shape)}: expected one row, and cumulative lengths "
            f"from 0 to {real.shape[1]}"
        )
    starts = torch.zeros_like(real)
    starts[0, value[:-1].long()] = True
    return starts
