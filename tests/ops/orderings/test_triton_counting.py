"""Counting and the sort by it, against PyTorch's stable sort."""

import pytest
import torch

from reformer.ops import gpu

triton_counting = pytest.importorskip("reformer.ops.orderings.triton_counting")

REFUSED = gpu.why_unsupported(torch.empty(0))


@pytest.mark.skipif(REFUSED is not None, reason=str(REFUSED))
@pytest.mark.parametrize("segment", [64, 2048])
def test_a_stable_sort(segment, monkeypatch):
    monkeypatch.setattr(triton_counting, "SEGMENT", segment)
    numbers = torch.randint(0, 5, (2, 1, 300), dtype=torch.int32)
    order, begins = triton_counting.Counts(numbers, None, 5).order(numbers)
    assert torch.equal(order.long(), numbers.sort(dim=-1, stable=True).indices)
    counts = torch.stack([row.bincount(minlength=5) for row in numbers.flatten(0, 1)])
    assert torch.equal(begins.diff(dim=-1).long(), counts)
