"""Padding: invisible, and to few different lengths."""

import numpy as np

from reformer.data.batching.encoding import batch_length, few_lengths, pad


def test_there_are_few_lengths_and_little_is_added():
    for length in (1, 2, 31, 63, 64, 65, 1000, 100_000):
        assert length <= few_lengths(length) <= length * 33 / 32 + 1
    assert len({few_lengths(length) for length in range(2049, 4097)}) == 32


def test_the_length_in_a_batch_is_one_of_few():
    for length in range(1, 9000):
        assert length <= batch_length(length) <= max(16, length * 9 / 8)
        assert batch_length(batch_length(length)) == batch_length(length)
    assert len({batch_length(length) for length in range(513, 1025)}) == 8


def test_ids_stand_at_the_left_under_their_mask():
    batch = pad([np.array([5, 6]), np.arange(1, 101)], pad_token_id=9)
    assert batch["input_ids"].shape == (2, 100)
    assert batch["input_ids"][0].tolist() == [5, 6] + [9] * 98
    assert batch["attention_mask"].sum(-1).tolist() == [2, 100]
