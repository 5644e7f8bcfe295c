"""The plain backend alone: its memory; all backends are in `test_dispatch`."""

import pytest
import torch

from reformer.ops import position_slots, window_attention

eager = pytest.importorskip("reformer.ops.window_attention.eager")


def test_what_is_kept_for_the_backward_pass_does_not_grow_with_the_window():
    x = torch.randn(1, 1, 600, 8, requires_grad=True)
    slots = position_slots(torch.ones(1, 600, dtype=torch.bool))
    sizes = []
    for window in (4, 512):
        saved = []

        def pack(tensor, saved=saved):
            saved.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            window_attention(x, x, x, slots, window=window, backend="eager")
        sizes.append(sum(saved))
    assert sizes[0] == sizes[1] < 600 * 512


def test_autocast_does_not_round_products():
    x = torch.randn(1, 1, 50, 8)
    slots = position_slots(torch.ones(1, 50, dtype=torch.bool))
    plain = window_attention(x, x, x, slots, window=9, backend="eager")
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(window_attention(x, x, x, slots, window=9, backend="eager"), plain)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exponentials_never_become_subnormal(dtype):
    smallest = torch.tensor(eager._min_exponent(dtype), dtype=dtype).exp()
    assert smallest >= torch.finfo(dtype).tiny
    assert 1 + smallest == 1
