"""Shares of the training documents: nested, seeded, and with every label where there is room."""

from reformer.tasks.documents.shares import MIN_DOCUMENTS, nested_shares


def test_each_share_holds_the_one_before():
    shares = list(nested_shares([["a"]] * 100, seed=3))
    assert [len(share) for share in shares] == [12, 25, 50]
    assert set(shares[0]) < set(shares[1]) < set(shares[2])
    assert all(share == sorted(share) for share in shares)


def test_the_seed_alone_decides():
    shares = [list(nested_shares([["a"]] * 100, seed=seed)) for seed in (3, 3, 4)]
    assert shares[0] == shares[1]
    assert shares[0] != shares[2]


def test_each_share_has_every_label_that_there_is_room_for():
    labels = [["rare", "rarer"], [], ["other"], *[["frequent"]] * 77]
    for seed in range(20):
        for share in nested_shares(labels, seed):
            assert {name for number in share for name in labels[number]} == {"rare", "rarer", "other", "frequent"}
    crowded = list(nested_shares([[str(number)] for number in range(80)], seed=0))
    assert [len(share) for share in crowded] == [10, 20, 40]


def test_shares_of_too_few_documents_are_left_out():
    few = 2 * MIN_DOCUMENTS
    assert list(nested_shares([["a"]] * (few - 2), seed=0)) == []
    assert [len(share) for share in nested_shares([["a"]] * few, seed=0)] == [MIN_DOCUMENTS]
    assert list(nested_shares([], seed=0)) == []
