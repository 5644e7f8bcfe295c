"""The definition on numbers that can be checked by hand."""

import torch

from reformer.ops import unit_vectors
from reformer.ops.window_attention import reference

OPTIONS = {"windows": (2,), "causal": True, "attend_self": True, "deduplicate": True, "scale": 1.0}


def test_pairs_are_counted_once_an_ordering():
    slots = torch.tensor([[[[0, 1, 2], [0, 5, 1]]]])
    count, itself = reference.times_seen(slots, slots, (2, 2), causal=False)
    assert count.tolist() == [[[[2, 1, 1], [1, 2, 1], [1, 1, 2]]]]
    assert torch.equal(itself[0, 0], torch.eye(3, dtype=torch.bool))


def test_an_absent_token_is_near_to_nothing():
    slots = torch.tensor([[[[-1, -1, 0]]]])
    count, itself = reference.times_seen(slots, slots, (9,), causal=False)
    assert count.sum() == 1
    assert itself.sum() == 1


def test_weights_are_a_softmax_over_what_is_seen():
    query = torch.tensor([[[[1.0], [2.0], [3.0]]]])
    value = torch.tensor([[[[1.0], [10.0], [100.0]]]])
    slots = torch.arange(3)[None, None, None]
    output = reference.attend(query, query, value, slots, slots, **OPTIONS)
    weights = torch.tensor([2.0, 4.0]).softmax(0), torch.tensor([6.0, 9.0]).softmax(0)
    expected = [1.0, float(weights[0] @ value[0, 0, :2, 0]), float(weights[1] @ value[0, 0, 1:, 0])]
    torch.testing.assert_close(output.flatten(), torch.tensor(expected))


def test_without_a_key_keys_are_unit_vectors_of_the_queries():
    query, value = torch.randn(1, 2, 6, 4), torch.randn(1, 2, 6, 4)
    slots = torch.arange(6)[None, None, None]
    shared = reference.attend(query, None, value, slots, slots, **OPTIONS)
    assert torch.equal(shared, reference.attend(query, unit_vectors(query), value, slots, slots, **OPTIONS))
