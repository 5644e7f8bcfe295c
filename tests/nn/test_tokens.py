"""Tokens of a pass: positions count the real ones alone, from where a piece begins."""

import pytest
import torch

from reformer.nn import Source, Tokens


def test_positions_count_real_tokens_from_where_the_piece_begins():
    mask = torch.tensor([[False, True, True, False], [True, False, True, True]])
    assert Tokens.of(mask).positions.tolist() == [[0, 0, 1, 0], [0, 0, 1, 2]]
    later = Tokens.of(mask, earlier=torch.tensor([10, 0]))
    assert later.positions.tolist() == [[0, 10, 11, 0], [0, 0, 1, 2]]
    assert later.slots[0, 0, 0].tolist() == [-1, 10, 11, -1]


def test_the_vectors_of_a_source_are_replaced_and_nothing_else():
    tokens, vectors = Tokens.of(torch.ones(1, 2, dtype=torch.bool)), torch.zeros(1, 3, 4)
    with pytest.raises(ValueError, match="there is no source whose vectors could be replaced"):
        tokens.seeing(vectors)
    source = Tokens.of(torch.ones(1, 3, dtype=torch.bool))
    tokens = Tokens(tokens.mask, False, tokens.slots, source=Source(torch.ones(1, 3, 4), source))
    found = tokens.seeing(vectors)
    assert found.source is not None
    assert found.source.hidden is vectors
    assert found.source.tokens is source
    assert found.slots is tokens.slots
