"""The wide part: the sums and tf-idf it promises, what is invisible to it, and what training leaves out."""

import math
from collections import Counter

import pytest
import torch

from reformer.nn import SequenceNgramLogits, TokenNgramLogits
from reformer.nn.ngrams import group_rows, groups_around, groups_before

ROWS, LABELS = 101, 3


def _part(kind, dropout=0.0):
    part = kind([1, 2], ROWS, LABELS, dropout).eval()
    for buffer in part.buffers():
        buffer.uniform_(0.1, 2)
    return part


def _all(ids):
    return torch.ones(ids.shape, dtype=torch.bool)


def test_groups_around_a_token_and_before_it():
    assert groups_around([1, 2]) == [(-1,), (0,), (1,), (-1, 0), (0, 1)]
    assert groups_before([1, 3]) == [(0,), (-2, -1, 0)]


def test_equal_groups_at_equal_places_have_equal_rows_and_others_mostly_not():
    known = torch.tensor([[5, 6, 7, 5, 6, 8, 9]])
    rows = group_rows(known, [(-1, 0), (0, 1), (0,)], 1 << 31)
    assert rows[0, 1, 0] == rows[0, 4, 0]
    assert rows[0, 0, 1] == rows[0, 3, 1]
    assert rows[0, 1, 0] != rows[0, 0, 1]
    assert len(set(rows.flatten().tolist())) == len({*rows[0, :, 0].tolist()}) + len({*rows[0, :, 1].tolist()}) + 5


def test_a_token_has_the_sum_of_its_rows():
    part, ids = _part(TokenNgramLogits), torch.randint(0, 9, (2, 7))
    rows = part.hashed(ids, _all(ids))
    assert torch.allclose(part(ids, _all(ids)), part.table[rows].sum(2), atol=1e-5)


def test_a_sequence_has_the_linear_map_of_its_tf_idf():
    part, ids = _part(SequenceNgramLogits), torch.randint(0, 4, (1, 12))
    counts = Counter(part.hashed(ids, _all(ids)).flatten().tolist())
    values = {row: (1 + math.log(count)) * float(part.frequencies[row]) for row, count in counts.items()}
    norm = math.sqrt(sum(value**2 for value in values.values()))
    expected = sum(value / norm * part.table[row] for row, value in values.items()) + part.bias
    assert max(counts.values()) > 1
    assert torch.allclose(part(ids, _all(ids))[0], expected, atol=1e-5)


def test_a_sequence_of_unknown_ngrams_has_the_bias():
    part, ids = _part(SequenceNgramLogits), torch.randint(0, 4, (1, 5))
    part.frequencies.zero_()
    assert torch.equal(part(ids, _all(ids))[0], part.bias)


@pytest.mark.parametrize("kind", [TokenNgramLogits, SequenceNgramLogits])
def test_padding_and_batch_mates_change_nothing(kind):
    part, ids = _part(kind), torch.randint(0, 9, (1, 7))
    padded, mask = torch.randint(0, 9, (2, 12)), torch.ones(2, 12, dtype=torch.bool)
    padded[0, 3:10] = ids
    mask[0, :3] = mask[0, 10:] = False
    found = part(padded, mask)[0]
    found = found[3:10] if found.dim() == 2 else found
    assert (found - part(ids, _all(ids))[0]).abs().max() < 1e-5


@pytest.mark.parametrize("kind", [TokenNgramLogits, SequenceNgramLogits])
def test_some_sequences_go_without_it_in_training_alone(kind):
    part, ids = _part(kind, dropout=0.5), torch.randint(0, 9, (64, 7))
    whole = part(ids, _all(ids))
    torch.manual_seed(0)
    trained = part.train()(ids, _all(ids))
    gone = torch.tensor([not row.any() for row in trained])
    assert 16 < gone.sum() < 48
    assert torch.equal(trained[~gone], whole[~gone])


def test_it_does_not_learn():
    assert not list(_part(SequenceNgramLogits).parameters())


SPELLINGS = ["ab", "", "c", "abc"]


def _spelled(spellings=SPELLINGS):
    part = SequenceNgramLogits([1, 2], ROWS, LABELS, vocab_size=len(spellings)).eval()
    for name, buffer in part.named_buffers():
        if name != "spelling":
            buffer.copy_(torch.rand(buffer.shape, generator=torch.Generator().manual_seed(len(name))) + 0.1)
    for row, text in zip(part.spelling, spellings, strict=True):
        row[: len(text)] = torch.tensor([ord(character) + 1 for character in text])
    return part


def test_the_characters_of_tokens_count_however_these_are_cut():
    part = _spelled()
    expected = part(torch.tensor([[0, 2]]), _all(torch.zeros(1, 2)))
    for ids in ([[3]], [[1, 0, 1, 1, 2]]):
        assert torch.allclose(part(torch.tensor(ids), _all(torch.tensor(ids))), expected, atol=1e-6)
    plain = SequenceNgramLogits([1, 2], ROWS, LABELS).eval()
    plain.load_state_dict({name: buffer for name, buffer in part.state_dict().items() if name != "spelling"})
    characters = torch.tensor([[ord(character) for character in "abc"]])
    assert torch.allclose(plain(characters, _all(characters)), expected, atol=1e-6)
    assert not torch.allclose(part(torch.tensor([[2, 0]]), _all(torch.zeros(1, 2))), expected, atol=1e-3)


def test_padding_and_batch_mates_change_no_characters():
    part, ids = _spelled(), torch.tensor([[2, 0, 1, 3]])
    padded, mask = torch.tensor([[3, 2, 0, 1, 3, 2, 2], [3] * 7]), torch.ones(2, 7, dtype=torch.bool)
    mask[0, 0] = mask[0, 5:] = False
    assert (part(padded, mask)[0] - part(ids, _all(ids))[0]).abs().max() < 1e-6
    nothing = torch.ones(1, 2, dtype=torch.long)
    assert torch.equal(part(nothing, _all(nothing))[0], part.bias)
