"""Memory that is used again: only of tensors that are gone, of their size, in their thread, and not for longer."""

import gc
import threading
import weakref

import pytest
import torch

from reformer.ops import reuse
from reformer.ops.reuse import empty_like, new_empty, reused


@pytest.fixture(autouse=True)
def _small_tensors_too(monkeypatch):
    monkeypatch.setattr(reuse, "WORTH_REUSE", 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_the_memory_of_a_tensor_that_is_gone_is_the_next_ones(dtype):
    like = torch.zeros(2, 3, 4, 8, dtype=dtype).transpose(1, 2)
    with reused():
        first = empty_like(like)
        place = first.data_ptr()
        assert (first.shape, first.stride(), first.dtype) == (like.shape, like.stride(), dtype)
        other = empty_like(like)
        assert other.data_ptr() != place
        del first
        assert empty_like(like).data_ptr() == place
        assert new_empty(like, [7]).data_ptr() not in (place, other.data_ptr())


def test_a_view_keeps_it():
    like = torch.zeros(64)
    with reused():
        first = empty_like(like)
        part = first[3:5].fill_(7.0)
        place = first.data_ptr()
        del first
        assert empty_like(like).fill_(1.0).data_ptr() != place
        assert part.tolist() == [7.0, 7.0]


def test_what_a_graph_has_saved_keeps_it():
    like = torch.zeros(64)
    with reused():
        kept = empty_like(like).fill_(3.0)
        factor = torch.ones(64, requires_grad=True)
        product = (kept * factor).sum()
        del kept
        empty_like(like).fill_(1.0)
        product.backward()
    assert factor.grad is not None
    assert factor.grad.unique().tolist() == [3.0]


def test_nothing_is_kept_afterwards_and_what_lives_on_stays(monkeypatch):
    blocks = []
    monkeypatch.setattr(reuse._Blocks, "give_back", lambda self, block: blocks.append(self.free))
    with reused():
        outlives = empty_like(torch.zeros(64)).fill_(5.0)
    assert outlives.unique().tolist() == [5.0]
    del outlives
    gc.collect()
    assert blocks == [None]


def test_free_memory_goes_back_at_the_end():
    with reused():
        first = empty_like(torch.zeros(64))
        gone = weakref.ref(reuse._current.blocks)
        del first
        assert gone() is not None
    gc.collect()
    assert gone() is None


def test_another_thread_has_none_of_it_and_inner_blocks_their_own():
    like, places = torch.zeros(64), []
    with reused():
        mine = reuse._current.blocks
        thread = threading.Thread(target=lambda: places.append(reuse._current.blocks))
        thread.start()
        thread.join()
        with reused():
            assert reuse._current.blocks not in (mine, None)
            empty_like(like)
        assert reuse._current.blocks is mine
    assert places == [None]
    assert reuse._current.blocks is None


def test_small_tensors_and_no_tensors(monkeypatch):
    monkeypatch.setattr(reuse, "WORTH_REUSE", 1 << 20)
    with reused():
        assert empty_like(torch.zeros(3, 0)).shape == (3, 0)
        assert not reuse._current.blocks.free
        empty_like(torch.zeros(8))
        assert not reuse._current.blocks.free
