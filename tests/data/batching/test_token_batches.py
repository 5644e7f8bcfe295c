"""Batches: bounded, of one length, mixed by the seed, and shared out among processes."""

from itertools import chain

import numpy as np
import pytest

from reformer.data.batching.token_batches import TokenBatches

LENGTHS = np.random.default_rng(0).integers(1, 3000, size=500).tolist()


@pytest.mark.parametrize("shuffle", [False, True])
def test_every_document_comes_once_within_the_bounds(shuffle):
    batches = TokenBatches(LENGTHS, batch_tokens=4096, batch_size=20, shuffle=shuffle)
    found = list(batches)
    assert len(found) == len(batches)
    assert sorted(chain.from_iterable(found)) == list(range(500))
    for batch in found:
        longest = max(LENGTHS[index] for index in batch)
        assert len(batch) <= 20
        assert len(batch) * longest <= 4096 or len(batch) == 1


def test_little_of_a_batch_is_padding():
    batches = list(TokenBatches(LENGTHS, batch_tokens=16384))
    padded = sum(len(batch) * max(LENGTHS[index] for index in batch) for batch in batches)
    assert sum(LENGTHS) / padded > 0.9


def test_the_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        batches = TokenBatches(LENGTHS, batch_tokens=4096, shuffle=True, seed=seed)
        batches.set_epoch(epoch)
        return list(batches)

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)
    assert len(order(1, 2)) == len(order(1, 3)) == len(order(2, 2))
    # Not only the batches' order changes, but who meets whom.
    assert set(map(frozenset, order(1, 2))) != set(map(frozenset, order(1, 3)))


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_processes_share_the_batches(world_size, shuffle):
    shares = [
        TokenBatches(LENGTHS, batch_tokens=4096, shuffle=shuffle, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    found = [list(share) for share in shares]
    assert [len(share) for share in shares] == [len(batches) for batches in found]
    indices = sorted(chain.from_iterable(chain.from_iterable(found)))
    if shuffle:
        assert len({len(batches) for batches in found}) == 1
        assert set(indices) == set(range(500))
    else:
        assert indices == list(range(500))


def test_a_document_over_the_bound_is_a_batch_of_its_own():
    assert list(TokenBatches([5, 100_000, 5], batch_tokens=64)) == [[0, 2], [1]]


def test_batches_of_a_size_alone():
    assert [len(batch) for batch in TokenBatches([7] * 10, batch_tokens=None, batch_size=4)] == [4, 4, 2]


def test_of_nothing_there_are_no_batches():
    assert list(TokenBatches([], batch_tokens=64)) == []
