"""A step's batch in parts, one to a thread: of small models most operations are too short to be split themselves."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from reformer.ops.draws import drawing_from

Batch = Mapping[str, Any]
Loss = Callable[[nn.Module, dict[str, Any]], Tensor]


class PartThreads:
    """Threads that each compute the loss and the gradients of a part of a batch, on a core each, or on several where a
    batch has fewer sequences than there are cores.

    Every part draws from a generator of its own, seeded from the global one, and the gradients are added up in the
    order of the parts: results depend on the number of parts, and on nothing that happens while they are computed.

    Args:
        count: of the threads, at least two.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._threads = ThreadPoolExecutor(count, "part")

    def split(self, batch: Batch) -> list[dict[str, Any]]:
        """The batch in parts of neighbouring sequences, as equal as can be, one to a thread; a single part where it is
        not all tensors with a row for each sequence, or has one sequence."""
        rows = {len(each) if isinstance(each, Tensor) and each.dim() else 0 for each in batch.values()}
        parts = min(self.count, *rows)
        if len(rows) != 1 or parts < 2:
            return [dict(batch)]
        cut = {name: torch.tensor_split(each, parts) for name, each in batch.items()}
        return [{name: pieces[number] for name, pieces in cut.items()} for number in range(parts)]

    def backward(
        self,
        model: nn.Module,
        parts: Sequence[dict[str, Any]],
        loss: Loss,
        context: Callable[[], AbstractContextManager],
    ) -> Tensor:
        """Add the gradients of all parts' losses to those of the model's parameters; the sum of the losses.

        Args:
            loss: a part's share of the batch's loss.
            context: what the forward pass runs in, such as autocast, which is one thread's alone.
        """
        learned = [each for each in model.parameters() if each.requires_grad]
        seeds = torch.randint(1 << 62, (len(parts),)).tolist()

        threads = torch.get_num_threads()
        of_each = max(1, self.count // len(parts))

        def compute(part: dict[str, Any], seed: int) -> tuple[Tensor, Sequence[Tensor | None]]:
            # OpenMP has a number for each thread, and the library of matrix products one for all.
            torch.set_num_threads(of_each)
            with drawing_from(torch.Generator().manual_seed(seed)), context():
                found = loss(model, part)
            return found.detach(), torch.autograd.grad(found, learned, allow_unused=True)

        try:
            running = [self._threads.submit(compute, *each) for each in zip(parts, seeds, strict=True)]
            found = [each.result() for each in running]
        finally:
            torch.set_num_threads(threads)
        for _, gradients in found:
            for parameter, gradient in zip(learned, gradients, strict=True):
                if gradient is not None:
                    parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
        return torch.stack([each for each, _ in found]).sum()

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()
