"""Wide part of a classifier: linear logits of hashed n-grams, to which a deep part adds its own."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from reformer.nn.ngrams import group_rows, groups_around, groups_before
from reformer.ops.draws import generator

MOST_CHARACTERS = 16
"""Characters that a token stands for, at most; further ones of a longer token are not read."""


class NgramLogits(nn.Module):
    """Base class of the wide parts: a table with a row of logits for each n-gram, which is fitted and does not learn.

    What is fitted explains the training data so well that a deep part beside it would have little to learn. So in
    training each sequence goes without it with a probability, and the deep part has to tell by itself (`docs/math.md`,
    equation 50). Source: wide and deep models, Cheng et al. 2016.

    Args:
        groups: the places of each n-gram's tokens, from a token on.
        rows: how many rows the n-grams are hashed to.
        labels: how many labels there are.
        dropout: that probability.
    """

    def __init__(self, groups: Sequence[Sequence[int]], rows: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.groups, self.rows, self.dropout = groups, rows, dropout
        self.table: Tensor
        self.register_buffer("table", torch.zeros(rows, labels))

    def hashed(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> Int[Tensor, "batch length groups"]:
        """The row of each n-gram; padding is as what lies outside the text."""
        return group_rows((ids + 1).masked_fill(~mask, 0), self.groups, self.rows)

    def kept(self, logits: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """The logits, in training without those of some sequences."""
        if not (self.training and self.dropout):
            return logits
        kept = torch.empty(len(logits), device=logits.device).uniform_(generator=generator()) >= self.dropout
        return logits * kept.to(logits.dtype).view(-1, *[1] * (logits.dim() - 1))


class TokenNgramLogits(NgramLogits):
    """Logits of each token: the sum of the rows of the n-grams around it."""

    def __init__(self, sizes: Sequence[int], rows: int, labels: int, dropout: float = 0.0) -> None:
        super().__init__(groups_around(sizes), rows, labels, dropout)

    def forward(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length labels"]:
        rows = self.hashed(ids, mask)
        logits = nn.functional.embedding_bag(rows.flatten(0, 1), self.table, mode="sum")
        return self.kept(logits.view(*ids.shape, -1))


class SequenceNgramLogits(NgramLogits):
    """Logits of a whole sequence: a linear map of the tf-idf of the n-grams in it.

    A row that is met `n` times counts `1 + log n` times its inverse document frequency, and the values of a sequence
    have norm 1 together.

    Args:
        vocab_size: read the n-grams of the characters that the tokens stand for, `spelling`, of so many different
            tokens; 0 to read those of the tokens.
    """

    def __init__(self, sizes: Sequence[int], rows: int, labels: int, dropout: float = 0.0, vocab_size: int = 0) -> None:
        super().__init__(groups_before(sizes), rows, labels, dropout)
        self.spelling: Tensor | None
        """The code points of each token's characters, plus one; 0 behind them."""
        letters = torch.zeros(vocab_size, MOST_CHARACTERS, dtype=torch.int32) if vocab_size else None
        self.register_buffer("spelling", letters)
        self.frequencies: Tensor
        """The inverse document frequency of each row; 0 for those that say nothing."""
        self.register_buffer("frequencies", torch.zeros(rows))
        self.bias: Tensor
        self.register_buffer("bias", torch.zeros(labels))

    def read(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> tuple[Int[Tensor, "batch read"], Bool[Tensor, "batch read"]]:
        """What n-grams are made of, and which of it is text: the tokens as they are, or the code points of their
        characters, one behind the other."""
        if self.spelling is None:
            return ids, mask
        letters = (self.spelling[ids].long() * mask[..., None]).flatten(1)
        # Padding and what no token stands for go behind all characters, which stay in order.
        order = (letters == 0).to(torch.int8).sort(dim=1, stable=True).indices
        letters = letters.gather(1, order)
        return letters - 1, letters > 0

    def forward(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch labels"]:
        ids, mask = self.read(ids, mask)
        # One more row for padding, behind all others.
        rows = self.hashed(ids, mask).masked_fill(~mask[..., None], self.rows).flatten(1).sort(1).values
        first = nn.functional.pad(rows[:, 1:] != rows[:, :-1], (1, 0), value=True)
        # The number of each row among the different ones of its sequence, and how often each of these is met.
        place = first.cumsum(1) - 1
        counts = torch.zeros_like(rows).scatter_add_(1, place, torch.ones_like(rows))
        met = torch.full_like(rows, self.rows).scatter_(1, place, rows)
        known = met < self.rows
        met = met.masked_fill(~known, 0)
        values = (counts.clamp_min(1).log() + 1) * self.frequencies[met] * known
        norms = values.square().sum(1, keepdim=True).sqrt()
        summed = nn.functional.embedding_bag(
            met, self.table, mode="sum", per_sample_weights=values.to(self.table.dtype)
        )
        return self.kept(summed / norms.clamp_min(torch.finfo(norms.dtype).tiny) + self.bias)
