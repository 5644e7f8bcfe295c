"""Rows of the plain backend: places of tokens, ranges of keys."""

import torch

from reformer.ops.window_attention import eager_rows
from reformer.ops.window_attention.eager_rows import Places, Range


def test_sorting_and_back_keeps_every_vector_and_its_layout():
    tokens, absent = torch.tensor([[2, 0, 1], [1, 2, 0]]), torch.zeros(2, 3, dtype=torch.bool)
    places = Places.of(tokens, absent, 3, before=4, after=5)
    for vectors in (torch.randn(1, 2, 3, 4), torch.randn(1, 3, 2, 4).transpose(1, 2)):
        buffer = places.sort(vectors, torch.float64)
        assert buffer.shape == (places.size + 1, 4)
        assert torch.equal(buffer[4:7].float(), vectors[0, 0, [2, 0, 1]])
        back = places.unsort(buffer, vectors)
        assert torch.equal(back, vectors)
        assert back.stride() == vectors.stride()


def test_absent_tokens_are_zero_in_slot_order():
    places = Places.of(torch.tensor([[0, 1]]), torch.tensor([[False, True]]), 2)
    assert places.sort(torch.full((1, 1, 2, 1), float("nan")), torch.float32)[1] == 0


def test_a_range_is_exact_at_its_ends_and_may_be_empty():
    bounds = Range.of(torch.tensor([2, 3]), torch.tensor([5, 3]), torch.float32)
    assert bounds.outside(torch.arange(6.0)).tolist() == [[1, 1, 0, 0, 0, 1], [1] * 6]


def test_the_key_that_is_a_query_itself():
    keys, queries = torch.tensor([[[[5, 7, -1]]]]), torch.tensor([[[[7, 6, -1, 5]]]])
    assert eager_rows.self_keys(queries, keys).tolist() == [[[1, 3, 3, 0]]]
    assert eager_rows.self_keys(keys, keys).tolist() == [[[0, 1, 3]]]
