"""Part of the tokens of each row that one process holds in a pass, and its exchanges with the processes of the others.

Every exchange is differentiated as the linear map that it is, of what all processes hold: the backward pass sends the
gradients back the way that the vectors came.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from reformer.nn.sequence_part import HeadShare, SequencePart
from reformer.ops.draws import drawing_for_part
from reformer.parallel.collectives import Collectives

Range = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Part(SequencePart):
    """The part of this process; see `reformer.nn.sequence_part.SequencePart`.

    Args:
        collectives: of the group.
        lengths: how many tokens a row has on each process.
        first: the process that has the first heads.
    """

    collectives: Collectives
    lengths: tuple[int, ...]
    first: int = 0

    @property
    def process(self) -> int:
        return self.collectives.process

    @property
    def processes(self) -> int:
        return self.collectives.processes

    @property
    def ranges(self) -> list[Range]:
        """First token and end of each part in the row."""
        ends = list(accumulate(self.lengths))
        return [(end - length, end) for end, length in zip(ends, self.lengths, strict=True)]

    def share(self, heads: int, key_heads: int) -> HeadShare:
        return self._share(self.process, heads, key_heads)

    def _share(self, process: int, heads: int, key_heads: int) -> HeadShare:
        return HeadShare.of(heads, key_heads, (process - self.first) % self.processes, self.processes)

    def beginning_with(self, process: int) -> "Part":
        return replace(self, first=process % self.processes)

    def to_heads(self, groups: int, *vectors: Tensor) -> tuple[Tensor, ...]:
        return _ToHeads.apply(self, groups, *vectors)  # pyright: ignore[reportReturnType]

    def to_tokens(self, groups: int, heads: int, vectors: Tensor) -> Tensor:
        return _ToTokens.apply(self, groups, heads, vectors)  # pyright: ignore[reportReturnType]

    def around(self, vectors: Tensor, before: int, after: int, fill: int = 0) -> Tensor:
        return _Around.apply(self, before, after, fill, vectors)  # pyright: ignore[reportReturnType]

    def gather(self, vectors: Tensor) -> Tensor:
        found = _Gather.apply(self, self.lengths, vectors.transpose(0, 1))
        return found.transpose(0, 1)  # pyright: ignore[reportReturnType]

    def each(self, tensor: Tensor) -> Tensor:
        return _Gather.apply(self, [1] * self.processes, tensor[None])  # pyright: ignore[reportReturnType]

    def own(self, vectors: Tensor) -> Tensor:
        begin, end = self.ranges[self.process]
        return vectors[:, begin:end]

    def sum(self, tensor: Tensor) -> Tensor:
        return _Sum.apply(self, tensor)  # pyright: ignore[reportReturnType]

    @torch.no_grad()
    def sum_before(self, tensor: Tensor) -> tuple[Tensor, Tensor]:
        every = self.collectives.gather("sums", tensor[None], [1] * self.processes)
        return every[: self.process].sum(0), every.sum(0)

    def once(self, loss: Tensor) -> Tensor:
        return loss if self.process == 0 else loss * 0

    def total(self, share: Tensor) -> Tensor:
        return _Total.apply(self, share)  # pyright: ignore[reportReturnType]

    def drawing(self) -> AbstractContextManager[None]:
        return drawing_for_part(self.process)

    def shares(self, groups: int) -> list[HeadShare]:
        """Of so many groups of heads, what each process computes."""
        return [self._share(process, groups, groups) for process in range(self.processes)]

    def sent_to_heads(self, groups: int, vectors: Tensor) -> Tensor:
        """See `to_heads`, of one tensor."""
        batch, heads, _, width = vectors.shape
        each, shares = heads // groups, self.shares(groups)
        own = each * shares[self.process].heads
        # With tokens first, what comes from one process after the other is the whole row as it lies in memory.
        by_token = vectors.permute(2, 0, 1, 3)
        sent = [by_token[:, :, each * share.first : each * (share.first + share.heads)] for share in shares]
        found = self.collectives.exchange("heads", sent, [length * batch * own * width for length in self.lengths])
        return found.view(sum(self.lengths), batch, own, width).permute(1, 2, 0, 3)

    def sent_to_tokens(self, groups: int, heads: int, vectors: Tensor) -> Tensor:
        """See `to_tokens`."""
        batch, _, _, width = vectors.shape
        each, tokens = heads // groups, self.lengths[self.process]
        sent = list(vectors.permute(2, 0, 1, 3).split(self.lengths))
        counts = [tokens * batch * each * share.heads * width for share in self.shares(groups)]
        found = self.collectives.exchange("heads", sent, counts).split(counts)
        parts = [
            part.view(tokens, batch, each * share.heads, width)
            for part, share in zip(found, self.shares(groups), strict=True)
        ]
        # In the order of the heads.
        return torch.cat([*parts[self.first :], *parts[: self.first]], 2).permute(1, 2, 0, 3)

    def asked(self, owner: int, asking: int, before: int, after: int) -> slice:
        """Which of the owner's tokens another process asks for, by their places in the row."""
        (first, end), (begin, stop) = self.ranges[owner], self.ranges[asking]
        if owner < asking:
            first, end = max(first, begin - before), min(end, begin)
        elif owner > asking:
            first, end = max(first, stop), min(end, stop + after)
        else:
            end = first
        return slice(first, max(first, end))


def _moved(places: slice, by: int) -> slice:
    return slice(places.start + by, places.stop + by)


class _ToHeads(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Part, groups: int, *vectors: Tensor) -> tuple[Tensor, ...]:
        ctx.part, ctx.groups, ctx.heads = part, groups, [each.shape[1] for each in vectors]
        return tuple(part.sent_to_heads(groups, each) for each in vectors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        wanted = ctx.needs_input_grad[2:]
        return (
            None,
            None,
            *(
                ctx.part.sent_to_tokens(ctx.groups, heads, each) if needed else None
                for heads, each, needed in zip(ctx.heads, gradients, wanted, strict=True)
            ),
        )


class _ToTokens(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Part, groups: int, heads: int, vectors: Tensor) -> Tensor:
        ctx.part, ctx.groups = part, groups
        return part.sent_to_tokens(groups, heads, vectors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        return None, None, None, ctx.part.sent_to_heads(ctx.groups, gradient)


class _Around(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Part, before: int, after: int, fill: int, vectors: Tensor) -> Tensor:
        ctx.part, ctx.reach = part, (before, after)
        own, begin = part.process, part.ranges[part.process][0]
        by_token, everyone = vectors.transpose(0, 1), range(part.processes)
        sent = [by_token[_moved(part.asked(own, other, before, after), -begin)] for other in everyone]
        places = [_moved(part.asked(other, own, before, after), before - begin) for other in everyone]
        found = vectors.new_full((before + len(by_token) + after, *by_token.shape[1:]), fill)
        found[before : before + len(by_token)] = by_token
        width = math.prod(found.shape[1:])
        counts = [(each.stop - each.start) * width for each in places]
        parts = part.collectives.exchange("neighbours", sent, counts).split(counts)
        for place, each in zip(places, parts, strict=True):
            found[place] = each.view(-1, *found.shape[1:])
        return found.transpose(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        part, (before, after) = ctx.part, ctx.reach
        own, (begin, end) = part.process, part.ranges[part.process]
        by_token, everyone = gradient.transpose(0, 1), range(part.processes)
        sent = [by_token[_moved(part.asked(other, own, before, after), before - begin)] for other in everyone]
        places = [_moved(part.asked(own, other, before, after), -begin) for other in everyone]
        found = by_token[before : before + end - begin].clone()
        width = math.prod(found.shape[1:])
        counts = [(each.stop - each.start) * width for each in places]
        parts = part.collectives.exchange("neighbours", sent, counts).split(counts)
        for place, each in zip(places, parts, strict=True):
            found[place] += each.view(-1, *found.shape[1:])
        return None, None, None, None, found.transpose(0, 1)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Part, lengths: Sequence[int], tensor: Tensor) -> Tensor:
        ctx.part, ctx.lengths = part, lengths
        return part.collectives.gather("gathered", tensor, lengths)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        part = ctx.part
        sent = list(gradient.split(list(ctx.lengths)))
        own = sent[part.process]
        found = part.collectives.exchange("gathered", sent, [own.numel()] * part.processes)
        return None, None, found.view(part.processes, *own.shape).sum(0)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Part, tensor: Tensor) -> Tensor:
        ctx.part = part
        return part.collectives.sum("sums", tensor)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        return None, ctx.part.collectives.sum("sums", gradient)


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Part, share: Tensor) -> Tensor:
        return part.collectives.sum("sums", share)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        return None, gradient
