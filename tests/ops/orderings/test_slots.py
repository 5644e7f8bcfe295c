"""Slots and buckets of every backend against loops that follow the definition; argument checks."""

import pytest
import torch

from reformer.ops import (
    bucket_query_slots,
    bucket_slots,
    gpu,
    hash_buckets,
    hash_query_slots,
    hash_slots,
    native,
    position_slots,
    random_rotations,
    standard,
)
from reformer.ops.orderings import BUCKET_STRIDE, bucket_count, bucket_factors, slots
from reformer.ops.orderings.slots import BACKENDS


@pytest.fixture(params=["triton", "cpu", "portable", "eager"])
def way(request, monkeypatch):
    """Every backend, chosen by default."""
    if request.param not in BACKENDS:
        pytest.skip("there is no such backend")
    if request.param == "triton":
        reason = gpu.why_unsupported(torch.empty(0))
        if reason is not None:
            pytest.skip(reason)
        monkeypatch.setattr(gpu, "DEVICES", ("cuda", "cpu"))
    if request.param == "cpu" and native.LIBRARY is None:
        pytest.skip(native.VARIANT)
    if request.param == "portable":
        monkeypatch.setattr(standard._Switch, "on", True)
    if request.param == "eager":
        monkeypatch.setattr(native, "LIBRARY", None)
    return request.param


def test_the_fastest_backend_that_serves_is_chosen(way):
    vectors, rotations = torch.randn(1, 1, 3, 8), random_rotations(1, 1, 8, 4)
    assert slots._backend(vectors, *rotations) is BACKENDS[way]
    assert list(BACKENDS)[-1] == "eager"


def defined_buckets(vectors, rotations):
    """The definition: the largest of [xR ; -xR], factors combined like digits."""
    buckets = 0
    for rotation in rotations:
        projected = torch.einsum("bhld,hrdf->bhrlf", vectors.double(), rotation.double())
        both = torch.cat((projected, -projected), -1)
        buckets = buckets * both.shape[-1] + both.argmax(-1)
    return buckets


def defined_slots(buckets, mask):
    slots = torch.full_like(buckets, -1)
    for b, h, r in torch.cartesian_prod(*map(torch.arange, buckets.shape[:3])).tolist():
        seen = {}
        for i, bucket in enumerate(buckets[b, h, r].tolist()):
            if mask[b, i]:
                slots[b, h, r, i] = bucket * BUCKET_STRIDE + seen.get(bucket, 0)
                seen[bucket] = seen.get(bucket, 0) + 1
    return slots


@pytest.mark.parametrize("buckets", [2, 6, 64, 96, [4, 2, 6], [32, 32, 16]])
@pytest.mark.parametrize("head_dim", [1, 5, 16, 64])
def test_buckets_are_the_direction_nearest_to_a_vector(way, buckets, head_dim):
    vectors = torch.randn(2, 50, 3, head_dim).transpose(1, 2)
    rotations = random_rotations(3, 2, head_dim, buckets)
    assert torch.equal(hash_buckets(vectors, rotations), defined_buckets(vectors, rotations))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_every_dtype_is_hashed_from_float32(way, dtype):
    vectors, rotations = torch.randn(1, 2, 60, 16).to(dtype), random_rotations(2, 2, 16, 8)
    with torch.autocast("cpu", torch.bfloat16):
        found = hash_buckets(vectors, rotations)
    assert found.dtype == torch.int64
    assert torch.equal(found, defined_buckets(vectors.float(), rotations))


def test_the_length_of_a_vector_does_not_matter_and_a_zero_vector_has_a_bucket(way):
    vectors, rotations = torch.randn(1, 1, 40, 8), random_rotations(1, 1, 8, 8)
    assert torch.equal(hash_buckets(vectors, rotations), hash_buckets(4 * vectors, rotations))
    assert hash_buckets(torch.zeros(1, 1, 3, 8), rotations).tolist() == [[[[0, 0, 0]]]]


@pytest.mark.parametrize("present", [0.0, 0.5, 1.0])
def test_slots_count_earlier_keys_of_the_same_bucket(way, present):
    buckets = torch.randint(0, 5, (2, 2, 3, 40))
    mask = torch.rand(2, 40) < present
    # Tables of the default size take an interpreter minutes.
    few = {"most_buckets": 64}
    assert torch.equal(bucket_slots(buckets, mask, **few), defined_slots(buckets, mask))
    assert torch.equal(bucket_slots(buckets.to(torch.int16), mask, **few), defined_slots(buckets, mask))
    assert torch.equal(bucket_slots(buckets, **few), defined_slots(buckets, torch.ones_like(mask)))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_query_slots(way, causal, aligned, masked):
    keys, queries = torch.randint(0, 6, (2, 2, 2, 30)), torch.randint(0, 6, (2, 2, 2, 30 if aligned else 17))
    mask = torch.rand(2, 30) < 0.6 if masked else None
    query_mask = torch.rand(2, queries.shape[-1]) < 0.6 if masked else None
    options = {"causal": causal, "aligned": aligned, "query_mask": query_mask, "most_buckets": 64}
    found = bucket_query_slots(queries, keys, mask, **options)
    for b, h, r, i in torch.cartesian_prod(*map(torch.arange, queries.shape)).tolist():
        bucket = queries[b, h, r, i].item()
        upto = i + 1 if aligned else 30
        present = torch.ones(30, dtype=torch.bool) if mask is None else mask[b]
        count = ((keys[b, h, r] == bucket) & present)[:upto].sum().item()
        expected = bucket * BUCKET_STRIDE + (max(count - 1, 0) if aligned else count // 2)
        if (masked and not query_mask[b, i]) or (aligned and causal and count == 0):
            expected = -1
        assert found[b, h, r, i] == expected


def test_a_query_that_is_a_key_stands_in_its_own_slot(way):
    vectors, rotations = torch.randn(2, 2, 40, 8), random_rotations(2, 2, 8, 8)
    mask = torch.rand(2, 40) < 0.7
    slots = hash_slots(vectors, rotations, mask)
    assert torch.equal(hash_query_slots(vectors, vectors, rotations, mask, causal=True), slots)


def test_position_slots_count_real_tokens():
    mask = torch.tensor([[False, True, True, False, True]])
    assert position_slots(mask).tolist() == [[[[-1, 0, 1, -1, 2]]]]


def test_empty_sequences(way):
    rotations = random_rotations(2, 3, 8, 4)
    assert hash_slots(torch.zeros(1, 2, 0, 8), rotations).shape == (1, 2, 3, 0)
    query = hash_query_slots(torch.zeros(1, 2, 0, 8), torch.randn(1, 2, 5, 8), rotations, aligned=False)
    assert query.shape == (1, 2, 3, 0)


@pytest.mark.parametrize(
    ("buckets", "factors"), [(64, (64,)), (128, (16, 8)), (512, (32, 16)), ([32, 32, 16], (32, 32, 16))]
)
def test_a_number_of_buckets_is_split_into_even_factors(buckets, factors):
    assert bucket_factors(buckets) == factors
    assert bucket_count(random_rotations(1, 1, 4, buckets)) == torch.tensor(factors).prod()


@pytest.mark.parametrize("buckets", [0, 3, [], [3, 2], [1024, 1024, 2], 134])
def test_a_number_of_buckets_that_does_not_work_is_an_error(buckets):
    with pytest.raises(ValueError, match=r"buckets="):
        bucket_factors(buckets)


def test_wrong_arguments_are_errors_and_never_read_past_the_end(way):
    vectors, rotations = torch.randn(1, 2, 5, 8), random_rotations(2, 2, 8, 4)
    undecorated = getattr(hash_buckets, "__wrapped__", hash_buckets)
    for wrong in (random_rotations(1, 2, 8, 4), random_rotations(2, 2, 9, 4), ()):
        with pytest.raises(ValueError, match="rotation"):
            undecorated(vectors, wrong)
    buckets = hash_buckets(vectors, rotations)
    for mask in (torch.ones(1, 4, dtype=torch.bool), torch.ones(1, 5)):
        with pytest.raises(ValueError, match=r"mask is torch.* expected torch.bool \(1, 5\)"):
            getattr(bucket_slots, "__wrapped__", bucket_slots)(buckets, mask)
    with pytest.raises(ValueError, match="4 queries and 5 keys: aligned"):
        bucket_query_slots(buckets[..., :4], buckets)
    with pytest.raises(ValueError, match="must agree in batch, heads and rounds"):
        getattr(bucket_query_slots, "__wrapped__", bucket_query_slots)(buckets[:, :1], buckets)


def test_dtypes_and_shapes_that_buckets_and_masks_cannot_have():
    # Undecorated: the checks of annotated shapes, which run in tests alone, would answer first.
    hashed, slots_of, query_slots_of, positions = (
        getattr(each, "__wrapped__", each) for each in (hash_buckets, bucket_slots, bucket_query_slots, position_slots)
    )
    vectors, rotations = torch.ones(1, 2, 5, 4), random_rotations(2, 1, 4, 8)
    for odd in (torch.bool, torch.int64, torch.complex64):
        with pytest.raises(TypeError, match=rf"vectors torch\.{str(odd)[6:]}.*: expected floating dtypes"):
            hashed(vectors.to(odd), rotations)
    buckets = torch.zeros(1, 2, 1, 5, dtype=torch.int64)
    for odd in (torch.float32, torch.bool, torch.complex64):
        with pytest.raises(TypeError, match=r"buckets is .*, expected integers"):
            slots_of(buckets.to(odd))
    with pytest.raises(ValueError, match=r"buckets has shape \(1, 2, 5\), expected"):
        slots_of(buckets[:, :, 0])
    for most in (0, -1, 1 << 40):
        with pytest.raises(ValueError, match=rf"most_buckets={most}: expected 1 to"):
            slots_of(buckets, most_buckets=most)
        with pytest.raises(ValueError, match=rf"most_buckets={most}: expected 1 to"):
            query_slots_of(buckets, buckets, most_buckets=most)
    for mask in (torch.ones(1, 5), torch.ones(5, dtype=torch.bool)):
        with pytest.raises(ValueError, match=r"expected torch.bool \[batch, length\]"):
            positions(mask)
