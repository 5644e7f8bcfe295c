"""Rows of the Triton kernels against sorts and searches of plain PyTorch."""

import pytest
import torch

from reformer.ops import gpu

triton_rows = pytest.importorskip("reformer.ops.window_attention.triton_rows")

REFUSED = gpu.why_unsupported(torch.empty(0))

runs = pytest.mark.skipif(REFUSED is not None, reason=str(REFUSED))


@runs
@pytest.mark.parametrize("slots", [[3, 0, 2, 1], [7, 1 << 41, -1, 8], [5 << 55, 3, (5 << 55) + 1, -1]])
def test_any_slots_are_sorted_dense_or_not(slots):
    slots = torch.tensor(slots)[None, None, None]
    order, in_order, present = triton_rows._sorted(slots)
    expected = slots.masked_fill(slots < 0, 2**63 - 1).sort(-1)
    assert torch.equal(in_order, expected.values)
    assert torch.equal(order.long(), expected.indices)
    assert present.item() == (slots >= 0).sum()


@runs
@pytest.mark.parametrize("causal", [False, True])
def test_the_range_of_a_query_is_what_its_window_reaches(causal):
    slots = torch.stack((torch.randperm(20), torch.randperm(20) * 3))[None, None]
    slots[..., 4] = -1
    arranged = triton_rows.arrange(slots, None, [5, 7], causal, False)
    for ordering, window in enumerate((5, 7)):
        row = slots[0, 0, ordering]
        order = arranged.key_order[0, 0, ordering].long()
        for query in range(20):
            low, size = divmod(arranged.seen[0, 0, query, ordering].item(), 1 << 32)
            distance = row[query] - row
            near = (distance < window) & ((distance >= 0) if causal else (distance > -window)) & (row >= 0)
            expected = set() if query == 4 else set(near.nonzero()[:, 0].tolist())
            assert set(order[low : low + size].tolist()) == expected


@runs
def test_queries_that_are_not_in_the_keys_row_are_sorted_by_group_and_know_their_own_key():
    keys, queries = torch.randperm(150)[None, None, None], torch.randint(0, 200, (1, 1, 1, 40))
    arranged = triton_rows.arrange(queries, keys, [9], False, True)
    places = torch.searchsorted(keys.sort(-1).values, queries, right=True)[0, 0, 0]
    groups = (places // triton_rows.GROUP)[arranged.query_order[0, 0, 0].long()]
    assert torch.equal(groups, groups.sort().values)
    for query, slot in enumerate(queries.flatten().tolist()):
        expected = keys.flatten().tolist().index(slot) if slot < 150 else -1
        assert arranged.self_key[0, 0, query] == expected


@pytest.mark.parametrize(("shared", "with_self_key"), [(True, False), (False, True), (False, False)])
@runs
def test_fake_tensors_have_the_shapes_of_real_ones(shared, with_self_key):
    slots = torch.stack((torch.randperm(30), torch.randperm(30)))[None, None]
    keys = None if shared else slots.clone()
    arranged = triton_rows.arrange(slots, keys, [4, 4], True, with_self_key)
    fake = triton_rows.fake_arrangement(slots, keys, with_self_key)
    assert [(a.shape, a.dtype, a.stride()) for a in arranged] == [(b.shape, b.dtype, b.stride()) for b in fake]
