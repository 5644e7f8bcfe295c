"""Hashing and slots by Triton's kernels alone; all backends are in `test_slots`."""

import pytest
import torch

from reformer.ops import gpu, random_rotations

triton = pytest.importorskip("reformer.ops.orderings.triton")

REFUSED = gpu.why_unsupported(torch.empty(0))


@pytest.mark.skipif(REFUSED is not None, reason=str(REFUSED))
def test_operators_are_registered_as_torch_expects():
    vectors, rotations = torch.randn(1, 2, 20, 8), list(random_rotations(2, 2, 8, 4))
    tests = ("test_schema", "test_faketensor")
    buckets = triton.hash_buckets(vectors, rotations)
    torch.library.opcheck(triton.hash_buckets, (vectors, rotations), test_utils=tests)
    torch.library.opcheck(triton.bucket_slots, (buckets, None, 4), test_utils=tests)
    torch.library.opcheck(triton.bucket_query_slots, (buckets, buckets, None, None, 4, True, True), test_utils=tests)
