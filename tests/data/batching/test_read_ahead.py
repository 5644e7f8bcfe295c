"""Reading ahead: every answer beside its sequence, in order, with a bounded number of them held."""

from dataclasses import dataclass

import numpy as np
import pytest

from reformer.data import DataError
from reformer.data.batching import read_ahead
from reformer.data.batching.read_ahead import in_order


@dataclass
class Sequence:
    number: int
    ids: np.ndarray


def _sequences(*lengths):
    return [Sequence(number, np.zeros(length)) for number, length in enumerate(lengths)]


def test_answers_come_in_order_from_batches_of_about_one_length():
    batches = []

    def answer(batch):
        batches.append([len(sequence.ids) for sequence in batch])
        return [sequence.number for sequence in batch]

    sequences = _sequences(100, 3, 101, 2, 5_000, 3)
    assert [(s.number, a) for s, a in in_order(sequences, answer, batch_tokens=256)] == [(n, n) for n in range(6)]
    assert sorted(map(sorted, batches)) == [[2, 3, 3], [100, 101], [5_000]]


def test_an_error_takes_no_place_and_is_raised_without_a_handler():
    first, second = _sequences(2, 2)
    wrong = DataError("a.csv", 3, "no token", "give one")
    errors = []
    answers = in_order([first, wrong, second], lambda batch: [s.number for s in batch], on_error=errors.append)
    assert [answer for _, answer in answers] == [0, 1]
    assert errors == [wrong]
    with pytest.raises(DataError, match="no token"):
        list(in_order([first, wrong, second], lambda batch: [0] * len(batch)))


@pytest.mark.parametrize("bound", ["TOKENS_AHEAD", "SEQUENCES_AHEAD"])
def test_few_sequences_are_held(bound, monkeypatch):
    monkeypatch.setattr(read_ahead, bound, 4)
    consumed = 0

    def source():
        nonlocal consumed
        for sequence in _sequences(*[1] * 20):
            consumed += 1
            yield sequence

    for number, _ in enumerate(in_order(source(), lambda batch: batch)):
        assert consumed <= number + 5
    assert consumed == 20


def test_an_answer_too_few_is_an_error():
    with pytest.raises(ValueError, match="shorter"):
        list(in_order(_sequences(1, 1), lambda batch: batch[:1]))


def test_of_nothing_there_are_no_answers():
    assert list(in_order([], lambda batch: batch)) == []
