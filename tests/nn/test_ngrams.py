"""Groups of tokens: which row each has, and what is invisible to them."""

import torch

from reformer.nn import NgramEmbedding, Tokens
from reformer.nn.memory import Memory


def _layer(dropout=0.0):
    layer = NgramEmbedding((2, 3), rows=101, width=4, hidden_size=6, dropout=dropout)
    torch.nn.init.normal_(layer.table)
    return layer


def _bare(ids):
    return Tokens.of(torch.ones(ids.shape, dtype=torch.bool), padded=False)


def test_equal_groups_have_equal_rows_and_others_mostly_not():
    layer, ids = _layer(), torch.tensor([[5, 6, 7, 5, 6, 7, 8, 6]])
    pairs, triples = layer.hashed(ids, _bare(ids)).unbind(-1)
    assert pairs[0, 1] == pairs[0, 4]
    assert triples[0, 2] == triples[0, 5]
    # The same tokens in another order, or more of them, are another group.
    assert len({int(row) for row in (*pairs[0, 1:4], *triples[0, 2:5])}) == 6


def test_rows_are_spread_evenly():
    layer = NgramEmbedding((2, 3), rows=64, width=4, hidden_size=4)
    ids = torch.randint(0, 4000, (1, 20000))
    for rows in layer.hashed(ids, _bare(ids)).unbind(-1):
        counts = rows.flatten().bincount(minlength=64)
        # 312 a row, with a spread of about 18.
        assert 200 < counts.min() <= counts.max() < 430


def test_a_token_gains_the_sum_of_its_rows():
    layer, ids = _layer(), torch.randint(0, 9, (2, 7))
    rows = layer.hashed(ids, _bare(ids))
    expected = layer.projection(layer.table[rows].sum(2))
    assert torch.allclose(layer(ids, _bare(ids)), expected, atol=1e-6)


def test_padding_counts_as_what_lies_before_the_text():
    layer, ids = _layer(), torch.randint(0, 9, (1, 7))
    padded = torch.nn.functional.pad(ids, (3, 2), value=1)
    mask = torch.tensor([[False] * 3 + [True] * 7 + [False] * 2])
    tokens = Tokens.of(mask)
    assert torch.equal(layer.hashed(padded, tokens)[:, 3:10], layer.hashed(ids, _bare(ids)))
    assert (layer(padded, tokens)[:, 3:10] - layer(ids, _bare(ids))).abs().max() < 1e-6


def test_in_pieces_as_at_once():
    layer, ids, memory = _layer(), torch.randint(0, 9, (2, 11)), Memory()
    pieces = [layer(piece, _bare(piece), memory) for piece in ids.split((1, 3, 1, 6), 1)]
    assert torch.allclose(torch.cat(pieces, 1), layer(ids, _bare(ids)), atol=1e-6)


def test_groups_are_left_out_in_training_alone_and_the_mean_stays():
    layer, ids = _layer(dropout=0.25), torch.randint(0, 9, (1, 5))
    whole = layer.eval()(ids, _bare(ids))
    drawn = torch.stack([layer.train()(ids, _bare(ids)) for _ in range(4000)])
    assert not torch.equal(drawn[0], whole)
    assert (drawn.mean(0) - whole).abs().max() < 0.1


def test_rare_groups_say_nothing_once_they_are_counted():
    layer = NgramEmbedding((2,), rows=10007, width=4, hidden_size=6, min_frequency=2)
    torch.nn.init.normal_(layer.table)
    ids = torch.tensor([[1, 2, 3, 1, 2, 9]])
    before = layer(ids, _bare(ids))
    assert before.abs().amin(-1).gt(0).all()
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[1] = torch.tensor([True, True, False, False, False, False])
    # What stands in padding counts for nothing; of the second text its beginning alone is real.
    layer.keep_frequent([(torch.tensor([[1, 2, 3, 1, 2, 9], [1, 4, 3, 1, 3, 1]]), Tokens.of(mask))])
    found = layer(ids, _bare(ids))
    frequent = torch.tensor([True, True, False, False, True, False])
    assert torch.equal(found[0, frequent], before[0, frequent])
    assert found[0, ~frequent].abs().max() == 0


def test_further_texts_add_to_what_is_frequent():
    layer = NgramEmbedding((2,), rows=10007, width=4, hidden_size=6, min_frequency=2)
    torch.nn.init.normal_(layer.table)
    first, further, both = (torch.tensor([ids]) for ids in ([5, 6, 5, 6, 7, 8], [7, 8, 7, 8, 5, 6], [5, 6, 7, 8]))
    layer.keep_frequent([(first, _bare(first))])
    assert layer(both, _bare(both))[0, 3].abs().max() == 0
    layer.keep_frequent([(further, _bare(further))], further=True)
    found = layer(both, _bare(both))[0]
    assert found[[1, 3]].abs().amin() > 0
    assert found[2].abs().max() == 0


def test_without_a_minimum_nothing_is_counted():
    layer, ids = _layer(), torch.randint(0, 9, (1, 5))
    before = layer(ids, _bare(ids))
    layer.keep_frequent([(ids, _bare(ids))])
    assert torch.equal(layer(ids, _bare(ids)), before)
    assert "frequent" not in layer.state_dict()


def test_an_untrained_table_says_nothing():
    layer, ids = NgramEmbedding((2,), 11, 4, 6), torch.randint(0, 9, (1, 5))
    assert layer(ids, _bare(ids)).abs().max() == 0
