"""The comparison of a backend's buckets and slots with `eager` finds what is wrong, and nothing else."""

import pytest
import torch

from reformer.ops import gpu
from reformer.ops.orderings import eager
from reformer.ops.orderings.self_check import discrepancy

CPU = torch.device("cpu")


def test_triton_kernels_that_are_right_pass():
    triton = pytest.importorskip("reformer.ops.orderings.triton")
    reason = gpu.why_unsupported(torch.empty(0))
    if reason is not None:
        pytest.skip(reason)
    assert discrepancy(triton.hash_buckets, triton.bucket_slots, CPU, length=20) is None


def test_right_results_pass_and_random_numbers_of_the_caller_are_left_alone():
    state = torch.get_rng_state()
    assert discrepancy(eager.hash_buckets, eager.bucket_slots, CPU) is None
    assert torch.equal(torch.get_rng_state(), state)


def test_wrong_slots_and_buckets_are_found():
    def wrong_slots(*arguments):
        return eager.bucket_slots(*arguments) + 1

    def wrong_buckets(vectors, rotations):
        return torch.zeros(1, 2, 1, 200, dtype=torch.int64)

    assert discrepancy(eager.hash_buckets, wrong_slots, CPU) == "400 of 400 tokens have another slot"
    assert "tokens are in another bucket" in str(discrepancy(wrong_buckets, eager.bucket_slots, CPU))


def test_rounding_may_move_a_few_tokens():
    def nearly(vectors, rotations):
        buckets = eager.hash_buckets(vectors, rotations)
        buckets[..., :2] = (buckets[..., :2] + 1) % 8
        return buckets

    assert discrepancy(nearly, eager.bucket_slots, CPU) is None
