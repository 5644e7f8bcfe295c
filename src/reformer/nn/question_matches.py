"""Which groups of a document's tokens stand in the question about it."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from reformer.nn.channels import Channels, StreamChannels
from reformer.nn.ngrams import tokens_hashed

NO_GROUP = torch.iinfo(torch.int64).max


class QuestionMatches(nn.Module):
    """Vectors that say of each token whether it is of the question, and of each token of the document which groups that
    begin or end at it stand in the question too (`docs/math.md`, equation 58).

    A sequence is a question, a token that ends it, and a document. An encoder finds the place that a question asks
    about only after it has learned to compare distant tokens; this says it from the first step on. Source: the exact
    match feature of Chen et al. 2017 (arXiv 1704.00051), section 3.2, for groups in place of words.

    Args:
        sizes: how many tokens the groups have, such as `(1, 2, 4)`.
        hidden_size: how wide the result is.
    """

    stream_channels: ClassVar[StreamChannels] = {"projection.weight": {0: Channels.EACH}}

    def __init__(self, sizes: Sequence[int], hidden_size: int) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.projection = nn.Linear(1 + 2 * len(self.sizes), hidden_size, bias=False)

    def forward(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], ends: Sequence[int]
    ) -> Float[Tensor, "batch length hidden"]:
        """The vectors; `mask` is True for a real token, `ends` are the tokens the first of which ends the question."""
        return self.project(self.features(ids, mask, ends))

    def project(self, found: Bool[Tensor, "batch length features"]) -> Float[Tensor, "batch length hidden"]:
        """The vectors for `features`."""
        return self.projection(found.to(self.projection.weight.dtype))

    def features(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], ends: Sequence[int]
    ) -> Bool[Tensor, "batch length features"]:
        """As `found`, of rows whose padding may stand anywhere."""
        # A group is of real tokens that follow each other.
        order = (~mask).sort(dim=1, stable=True).indices
        found = self.found(ids.gather(1, order), mask.gather(1, order), ends)
        places = order.argsort(1)[..., None].expand_as(found)
        return found.gather(1, places)

    def found(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], ends: Sequence[int]
    ) -> Bool[Tensor, "batch length features"]:
        """Whether a token is of the question; then for each size whether the group that ends at it, and whether the
        group that begins at it, is of the document and stands in the question. Real tokens follow each other."""
        is_end = torch.stack([ids == end for end in ends]).any(0) & mask
        behind = is_end.cumsum(1)
        question, document = mask & (behind == 0), mask & (behind > 0)
        ended, begun = [], []
        for size in self.sizes:
            groups = tokens_hashed(ids, size)
            asked = groups.masked_fill(~_whole(question, size), NO_GROUP).sort(1).values
            places = torch.searchsorted(asked, groups).clamp_max(ids.shape[1] - 1)
            ended.append((asked.gather(1, places) == groups) & _whole(document, size))
            begun.append(nn.functional.pad(ended[-1], (0, size - 1))[:, size - 1 :])
        return torch.stack([question, *ended, *begun], -1)


def _whole(part: Bool[Tensor, "batch length"], size: int) -> Bool[Tensor, "batch length"]:
    """Whether the group that ends at each token lies in a part of the sequence, which is of one piece."""
    return part & nn.functional.pad(part, (size - 1, 0))[:, : part.shape[1]]
