"""Fusion pooling and trailing ranges against their definitions, token by token."""

import pytest
import torch
from torch.nn.functional import gelu, pad

from reformer.nn.fusion import FusionPooling, TrailingRangePooling


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (5, 1), (4, 3), (3, 3)])
@pytest.mark.parametrize("length", [1, 2, 11])
def test_pooling_is_what_it_says(kernel, stride, length):
    pool, hidden = FusionPooling(3, 4, kernel, stride, (2, 3)), torch.randn(1, length, 3)
    weights = pool.align.project.weight.view(4, kernel, 3)
    steps = []
    for step in range(-(-length // stride)):
        total = pool.align.project.bias.clone()
        for offset in range(kernel):
            token = step * stride + offset - (kernel - stride) // 2
            if 0 <= token < length:
                total = total + weights[:, offset] @ hidden[0, token]
        steps.append(gelu(total))
    vectors = [torch.stack(steps).mean(0), torch.stack(steps).amax(0)]
    for size in (2, 3):
        parts = [torch.stack(steps[begin : begin + size]) for begin in range(0, len(steps), size)]
        vectors.append(torch.stack([part.mean(0) for part in parts]).amax(0))
        vectors.append(torch.stack([part.amax(0) for part in parts]).mean(0))
    gates = (pool.gates.weigh.weight @ torch.cat(vectors) + pool.gates.weigh.bias).sigmoid()
    expected = sum(gate * vector for gate, vector in zip(gates, vectors, strict=True))
    found = pool(hidden, torch.ones(1, length, dtype=torch.bool))
    assert (found[0] - expected).abs().max() < 1e-5
    padded = pad(hidden, (0, 0, 4, 3), value=float("nan"))
    mask = pad(torch.ones(1, length, dtype=torch.bool), (4, 3))
    assert (pool(padded, mask) - found).abs().max() < 1e-5


def test_trailing_ranges_look_back_over_what_is_real():
    trailing, steps = TrailingRangePooling(4, (2, 3)), torch.randn(1, 6, 4)
    real = torch.tensor([[False, True, True, True, True, False]])
    found = trailing(steps, real)
    for index in range(3):
        place = index + 2
        vectors = [steps[0, place]]
        for size in (2, 3):
            rows = [row for row in range(place - size + 1, place + 1) if real[0, row]]
            vectors += [steps[0, rows].mean(0), steps[0, rows].amax(0)]
        gates = (trailing.gates.weigh.weight @ torch.cat(vectors) + trailing.gates.weigh.bias).sigmoid()
        expected = sum(gate * vector for gate, vector in zip(gates, vectors, strict=True))
        assert (found[0, index] - expected).abs().max() < 1e-5
