"""Hashing and slots by the compiled kernels alone; all backends are in `test_slots`."""

import pytest
import torch

from reformer.ops import bucket_slots, hash_buckets, native, random_rotations
from reformer.ops.orderings import MAX_BUCKETS

cpu = pytest.importorskip("reformer.ops.orderings.cpu")
pytestmark = pytest.mark.skipif(native.LIBRARY is None, reason=native.VARIANT)


def test_operators_are_registered_as_torch_expects():
    vectors, rotations = torch.randn(1, 20, 2, 8).transpose(1, 2), list(random_rotations(2, 2, 8, 4))
    buckets = cpu.hash_buckets(vectors, rotations)
    torch.library.opcheck(cpu.hash_buckets, (vectors, rotations))
    torch.library.opcheck(cpu.bucket_slots, (buckets, None, 1 << 20))
    torch.library.opcheck(cpu.bucket_query_slots, (buckets, buckets, None, None, 1 << 20, True, True))


def test_the_two_ways_differ_in_less_than_one_bucket_in_a_hundred_thousand(monkeypatch):
    vectors, rotations = torch.randn(1, 4, 20000, 64), random_rotations(4, 4, 64, [16, 16])
    kernel = hash_buckets(vectors, rotations)
    monkeypatch.setattr(native, "LIBRARY", None)
    assert (kernel != hash_buckets(vectors, rotations)).float().mean() < 1e-5


@pytest.mark.parametrize("bucket", [-1, MAX_BUCKETS])
def test_the_kernel_refuses_buckets_that_it_cannot_count(bucket):
    with pytest.raises(ValueError, match="buckets out of range"):
        bucket_slots(torch.tensor([[[[0, bucket]]]]))
