"""The plain computation of buckets and slots on numbers that can be checked by hand."""

import torch

from reformer.ops.orderings import BUCKET_STRIDE, eager


def test_digits_of_two_factors_are_combined():
    rotations = [torch.eye(2)[None, None], torch.tensor([[[[1.0], [0.0]]]])]
    vectors = torch.tensor([[[[3.0, 1.0], [1.0, 3.0], [-3.0, 1.0], [1.0, -3.0]]]])
    assert eager.hash_buckets(vectors, rotations).tolist() == [[[[0, 2, 5, 6]]]]


def test_ranks_skip_absent_keys():
    buckets, mask = torch.tensor([[[[1, 1, 0, 1]]]]), torch.tensor([[True, False, True, True]])
    assert eager.bucket_slots(buckets, mask, 2).tolist() == [[[[BUCKET_STRIDE, -1, 0, BUCKET_STRIDE + 1]]]]


def test_a_query_without_an_earlier_key_in_its_bucket():
    queries, keys = torch.tensor([[[[1, 1]]]]), torch.tensor([[[[0, 1]]]])
    for causal, first in ((True, -1), (False, BUCKET_STRIDE)):
        slots = eager.bucket_query_slots(queries, keys, None, None, 2, causal, True)
        assert slots.tolist() == [[[[first, BUCKET_STRIDE]]]]


def test_no_gradient_and_no_autocast():
    vectors = torch.randn(1, 1, 50, 16, requires_grad=True)
    rotations = [torch.randn(1, 1, 16, 8)]
    with torch.autocast("cpu", torch.bfloat16):
        buckets = eager.hash_buckets(vectors, rotations)
    projected = torch.einsum("bhld,hrdf->bhrlf", vectors, rotations[0])
    assert torch.equal(buckets, torch.cat((projected, -projected), -1).argmax(-1))
    assert not buckets.requires_grad
