"""Collectives of `torch.distributed` on parts of unequal sizes, which count the bytes that they send."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(eq=False)
class Collectives:
    """What the processes of one group send to each other.

    Everything is sent as bytes, since gloo knows no integers of 16 bits, and counted.

    Args:
        group: the process group.
    """

    group: dist.ProcessGroup
    sent: dict[str, int] = field(default_factory=dict)
    """Bytes that this process has sent to others, by what for."""

    def __post_init__(self) -> None:
        self.process, self.processes = dist.get_rank(self.group), dist.get_world_size(self.group)

    def exchange(self, name: str, sent: Sequence[Tensor], received: Sequence[int]) -> Tensor:
        """Send each process what is meant for it, and receive what each has for this one.

        Args:
            name: what is counted as sent.
            sent: a tensor for each process, all of one dtype.
            received: how many elements each process sends.

        Returns:
            `[elements]`: those of the first process, behind them those of the second, and so on.
        """
        dtype, device = sent[0].dtype, sent[0].device
        outgoing = torch.cat([each.reshape(-1) for each in sent])
        incoming = torch.empty(sum(received), dtype=dtype, device=device)
        if self.processes == 1:
            incoming.copy_(outgoing)
        else:
            size = dtype.itemsize
            counts = [each.numel() * size for each in sent]
            self._count(name, sum(counts) - counts[self.process])
            dist.all_to_all_single(
                incoming.view(torch.uint8),
                outgoing.view(torch.uint8),
                [count * size for count in received],
                counts,
                group=self.group,
            )
        return incoming

    def gather(self, name: str, tensor: Tensor, lengths: Sequence[int]) -> Tensor:
        """Tensors `[length, ...]` of all processes, one behind the other, of which each has its own length."""
        if self.processes == 1:
            return tensor
        longest = max(lengths)
        padded = tensor.new_zeros(longest, *tensor.shape[1:])
        padded[: len(tensor)] = tensor
        found = tensor.new_empty(self.processes, padded.nbytes, dtype=torch.uint8)
        self._count(name, padded.nbytes * (self.processes - 1))
        dist.all_gather(list(found), padded.view(-1).view(torch.uint8), group=self.group)
        parts = [
            part.view(tensor.dtype).view(padded.shape)[:length] for part, length in zip(found, lengths, strict=True)
        ]
        return torch.cat(parts)

    def sum(self, name: str, tensor: Tensor) -> Tensor:
        """The sum of the tensors of all processes."""
        total = tensor.clone(memory_format=torch.contiguous_format)
        if self.processes > 1:
            # A ring sends each part but one to the next process, twice.
            self._count(name, 2 * tensor.nbytes * (self.processes - 1) // self.processes)
            dist.all_reduce(total, group=self.group)
        return total

    def _count(self, name: str, count: int) -> None:
        self.sent[name] = self.sent.get(name, 0) + count
