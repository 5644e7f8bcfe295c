"""Sequences cut from running text: all of it, at places that the seed decides."""

import numpy as np
import pytest

from reformer.data import byte_tokenizer, find_text, token_ids
from reformer.data.batching.text_windows import RandomWindows, Windows, WindowsInOrder


@pytest.fixture
def ids(tmp_path):
    (tmp_path / "text.bin").write_bytes(bytes(range(100)))
    return token_ids(find_text(str(tmp_path / "text.bin")), byte_tokenizer())


def _epoch(batches: RandomWindows, epoch: int) -> list[list[int]]:
    batches.set_epoch(epoch)
    return list(batches)


def test_each_epoch_cuts_elsewhere_and_no_token_comes_twice(ids):
    windows = Windows(ids, 16)
    batches = RandomWindows(windows, 2, seed=1, rank=0, world_size=1)
    epochs = [_epoch(batches, epoch) for epoch in range(8)]
    assert all(len(epoch) == len(batches) == 3 for epoch in epochs)
    for epoch in epochs:
        read = np.concatenate([windows[start] for batch in epoch for start in batch])
        assert len(read) == len(set(read.tolist())) == 80
    assert len({min(start for batch in epoch for start in batch) for epoch in epochs}) > 3
    assert _epoch(RandomWindows(windows, 2, seed=1, rank=0, world_size=1), 5) == epochs[5]
    assert _epoch(RandomWindows(windows, 2, seed=2, rank=0, world_size=1), 5) != epochs[5]


def test_processes_share_the_batches_equally(ids):
    windows = Windows(ids, 16)
    shares = [_epoch(RandomWindows(windows, 2, seed=1, rank=rank, world_size=2), 0) for rank in (0, 1)]
    assert [len(share) for share in shares] == [2, 2]
    alone = _epoch(RandomWindows(windows, 2, seed=1, rank=0, world_size=1), 0)
    assert [shares[0][0], shares[1][0], shares[0][1]] == alone


def test_measuring_reads_everything_once_and_the_rest_alone(ids):
    batches = list(WindowsInOrder(Windows(ids, 16), 4))
    assert batches == [[0, 16, 32, 48], [64, 80], [96]]
    shares = [list(WindowsInOrder(Windows(ids, 16), 4, rank=rank, world_size=2)) for rank in (0, 1)]
    assert shares == [[batches[0], batches[2]], [batches[1]]]


def test_measuring_on_fewer_tokens_spreads_them(ids):
    assert Windows(ids, 16, tokens=40).starts.tolist() == [0, 32, 64]
    assert len(Windows(ids, 16, tokens=10**6)) == 7


@pytest.mark.parametrize("length", [60, 100, 1000])
def test_a_short_text_is_one_sequence(ids, length):
    windows = Windows(ids, length)
    for epoch in range(5):
        [[start]] = _epoch(RandomWindows(windows, 2, seed=0, rank=0, world_size=1), epoch)
        assert len(windows[start]) == min(length, 100)


def test_one_token_left_over_is_not_measured(ids):
    assert Windows(ids, 33).starts.tolist() == [0, 33, 66]
