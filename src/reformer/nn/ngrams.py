"""N-gram embeddings: a hashed table of the groups of tokens that end at each token."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from reformer.nn.channels import Channels, StreamChannels
from reformer.nn.memory import Memory
from reformer.nn.tokens import Tokens
from reformer.ops.draws import token_generator

# Odd constants of 64-bit mixing functions: the golden ratio's digits, and those of MurmurHash3's finalizer.
SPREAD = 0x9E3779B97F4A7C15 - (1 << 64)
MIX = 0xFF51AFD7ED558CCD - (1 << 64)
LOW_BITS = (1 << 31) - 1


class NgramEmbedding(nn.Module):
    """Embedding of the n-grams that end at each token.

    Every group is hashed to a row of one table; the rows of a token's groups are added up and mapped to the hidden
    width (`docs/math.md`, equation 37). Two groups may share a row. The table starts at zero, so a group that was
    never trained says nothing. Source: hashed word n-grams, Joulin et al. 2017, section 2.

    Args:
        sizes: how many tokens the groups have, such as `(2, 3)`.
        rows: how many rows the table has.
        width: how wide a row is.
        hidden_size: how wide the result is.
        dropout: the probability with which a group is left out in training.
        min_frequency: rows that the training text meets less often say nothing, once `keep_frequent` has counted
            them. A group that occurs once tells a model which place of the training text it is at, and nothing else.
    """

    stream_channels: ClassVar[StreamChannels] = {"projection.weight": {0: Channels.EACH}}

    def __init__(
        self,
        sizes: Sequence[int],
        rows: int,
        width: int,
        hidden_size: int,
        dropout: float = 0.0,
        min_frequency: int = 1,
    ) -> None:
        super().__init__()
        self.sizes, self.rows, self.dropout, self.min_frequency = tuple(sizes), rows, dropout, min_frequency
        self.table = nn.Parameter(torch.zeros(rows, width))
        self.frequent: Tensor | None
        self.register_buffer("frequent", torch.ones(rows, dtype=torch.bool) if min_frequency > 1 else None)
        self.projection = nn.Linear(width, hidden_size, bias=False)

    def forward(
        self, ids: Int[Tensor, "batch length"], tokens: Tokens, memory: Memory | None = None
    ) -> Float[Tensor, "batch length hidden"]:
        groups = self.hashed(ids, tokens, memory)
        batch, length, sizes = groups.shape
        groups = groups.view(batch * length, sizes)
        kept = None if self.frequent is None else self.frequent[groups].to(self.table.dtype)
        if self.training and self.dropout:
            drawn = self.table.new_empty(batch * length, sizes).uniform_(generator=token_generator(self.table.device))
            drawn = (drawn >= self.dropout).to(drawn.dtype) / (1 - self.dropout)
            kept = drawn if kept is None else kept * drawn
        # A bag for each token adds its rows up without holding them one by one.
        bags = nn.functional.embedding_bag(groups, self.table, mode="sum", per_sample_weights=kept)
        return self.projection(bags.view(batch, length, -1))

    def keep_frequent(self, texts: Iterable[tuple[Int[Tensor, "batch length"], Tokens]], further: bool = False) -> None:
        """Count the rows that the n-grams of the training texts hash to, each text once, and mask the rare rows; if
        these are `further` texts, only those that were rare in the earlier ones too."""
        if self.frequent is None:
            return
        counts = torch.zeros(self.rows, dtype=torch.int64, device=self.frequent.device)
        for ids, tokens in texts:
            met = self.hashed(ids, tokens)[tokens.mask].flatten()
            counts += met.bincount(minlength=self.rows)
        frequent = counts >= self.min_frequency
        self.frequent.copy_(self.frequent | frequent if further else frequent)

    def hashed(
        self, ids: Int[Tensor, "batch length"], tokens: Tokens, memory: Memory | None = None
    ) -> Int[Tensor, "batch length sizes"]:
        """The row of each group. Padding and what lies before the text are one more token, so that a padded text
        gives what it gives bare."""
        longest, length = max(self.sizes), ids.shape[1]
        known = ids + 1
        if tokens.padded:
            known = known.masked_fill(~tokens.mask, 0)
        before = ids.new_zeros(ids.shape[0], longest - 1)
        if memory is not None:
            before = memory.tensors.get("ids", before)
        part = tokens.part
        known = torch.cat((before, known), 1) if part is None else part.around(known, longest - 1, 0)
        if memory is not None:
            memory.tensors["ids"] = known[:, known.shape[1] - (longest - 1) :].clone()
        found, mixed = {}, torch.zeros_like(ids)
        for back in range(longest):
            mixed = _mixed(mixed, known[:, longest - 1 - back :][:, :length])
            found[back + 1] = _row(mixed, self.rows)
        return torch.stack([found[size] for size in self.sizes], -1)


def group_rows(
    known: Int[Tensor, "batch length"], places: Sequence[Sequence[int]], rows: int
) -> Int[Tensor, "batch length groups"]:
    """The row of a hashed table for each group of tokens around each token. Two groups may share a row.

    Args:
        known: token ids plus one; 0 where there is no token, as before and after the text.
        places: of each group, the places of its tokens from the token on: `(-1, 0)` is the one before it and itself.
        rows: how many rows the table has.
    """
    reach = max(abs(place) for group in places for place in group)
    length = known.shape[1]
    known = nn.functional.pad(known, (reach, reach))
    found = []
    for number, group in enumerate(places):
        # So that the same tokens at other places have another row.
        mixed = torch.full_like(known[:, :length], number + 1)
        for place in group:
            mixed = _mixed(mixed, known[:, reach + place :][:, :length])
        found.append(_row(mixed, rows))
    return torch.stack(found, -1)


def tokens_hashed(ids: Int[Tensor, "batch length"], size: int) -> Int[Tensor, "batch length"]:
    """A number of 64 bits for the group of so many tokens that ends at each token, before the first of which one more
    token is repeated. Two groups share one by a chance of one in 10^19."""
    known = nn.functional.pad(ids.long() + 1, (size - 1, 0))
    mixed = known.new_full(ids.shape, size)
    for back in range(size):
        mixed = _mixed(mixed, known[:, size - 1 - back :][:, : ids.shape[1]])
    return mixed


def groups_around(sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """The places of every group of so many neighbouring tokens among those from which a group of the greatest size
    reaches a token.

    >>> groups_around([1, 2])
    [(-1,), (0,), (1,), (-1, 0), (0, 1)]
    """
    reach = max(sizes) - 1
    return [tuple(range(first, first + size)) for size in sizes for first in range(-reach, reach - size + 2)]


def groups_before(sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """The places of the groups of so many tokens that end at a token.

    >>> groups_before([1, 3])
    [(0,), (-2, -1, 0)]
    """
    return [tuple(range(1 - size, 1)) for size in sizes]


def _mixed(mixed: Int[Tensor, "batch length"], further: Int[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
    """A hash, and one more number put into it."""
    mixed = (mixed + further) * SPREAD
    # The shift brings high bits down, which products alone never do.
    return (mixed ^ (mixed >> 29)) * MIX


def _row(mixed: Int[Tensor, "batch length"], rows: int) -> Int[Tensor, "batch length"]:
    return (mixed >> 32 & LOW_BITS) % rows
