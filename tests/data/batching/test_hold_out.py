"""Hold-out: the seed alone decides, and the same seed decides as it always has."""

from collections import Counter

import pytest

from reformer.data import DataError
from reformer.data.batching.hold_out import fold, hold_out


@pytest.mark.parametrize(
    ("count", "fraction", "seed", "expected"),
    [(10, 0.1, 0, [4]), (20, 0.1, 0, [4, 19]), (20, 0.25, 7, [3, 8, 12, 13, 14]), (2, 0.1, 3, [1])],
)
def test_a_seed_holds_out_the_same_records_in_every_version(count, fraction, seed, expected):
    train, validation = hold_out(list(range(count)), fraction=fraction, seed=seed)
    assert validation == expected
    assert train == [index for index in range(count) if index not in expected]


@pytest.mark.parametrize("count", [0, 1])
def test_one_record_cannot_be_split(count):
    with pytest.raises(DataError, match=rf"a\.csv: there is {count} training image, too few .* give more images"):
        hold_out([0] * count, fraction=0.5, seed=0, what="image", place="a.csv")


def _labels(**counts):
    return [{name} for name, count in counts.items() for _ in range(count)]


@pytest.mark.parametrize("seed", range(5))
def test_each_label_has_its_share_and_a_rare_one_stays(seed):
    labels = _labels(a=900, b=50, c=49, d=1)
    train, validation = hold_out(labels, fraction=0.05, seed=seed, labels=labels)
    counts = Counter(name for each in validation for name in each)
    assert len(validation) == 50
    assert counts["d"] == 0
    assert counts["b"] in (2, 3)
    assert counts["c"] in (2, 3)
    assert {name for each in train for name in each} == {"a", "b", "c", "d"}


@pytest.mark.parametrize("seed", range(20))
def test_a_type_of_one_document_among_others_is_left_to_learn_from(seed):
    labels = [{"PER"}, {"PER", "LOC"}, set(), {"PER"}, {"ORG", "PER"}]
    train, _ = hold_out(labels, fraction=0.5, seed=seed, labels=labels)
    assert {"PER", "LOC", "ORG"} <= {name for each in train for name in each}


@pytest.mark.parametrize("seed", range(5))
def test_records_of_one_group_are_on_one_side(seed):
    groups = [[("text", number // 3), ("author", number // 5)] for number in range(60)]
    train, validation = hold_out(groups, fraction=0.2, seed=seed, groups=groups)
    assert 0 < len(validation) <= 15
    assert not {group for each in train for group in each} & {group for each in validation for group in each}


def test_a_group_larger_than_the_share_is_held_out_where_there_is_no_smaller():
    texts = [f"{number % 10}" for number in range(200)]
    _, validation = hold_out(texts, fraction=0.05, seed=0, groups=[{text} for text in texts])
    assert len(validation) == 20
    assert len(set(validation)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": [{"pos"}, {"neg"}]}, "each of the 2 training documents is the only one with some label"),
        ({"groups": [{1}, {1}]}, "all 2 training documents are one text or of one group, .*; give documents that"),
    ],
)
def test_nothing_that_can_be_held_out_is_told_as_it_is(options, message):
    with pytest.raises(DataError, match=message):
        hold_out([0, 1], fraction=0.5, seed=0, **options)


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_folds_hold_out_each_record_once_and_keep_a_label_that_occurs_once(folds):
    labels = _labels(a=30, b=7, c=2, d=1)
    records = list(range(len(labels)))
    parts = [fold(records, number + 1, folds, seed=1, labels=labels) for number in range(folds)]
    held_out = [index for _, validation in parts for index in validation]
    assert sorted(held_out) == records[:-1]
    for train, validation in parts:
        assert sorted(train + validation) == records
        assert set().union(*(labels[index] for index in train)) == {"a", "b", "c", "d"}
        assert abs(len(validation) - len(held_out) / folds) <= 2


def test_too_few_records_for_a_fold():
    with pytest.raises(DataError, match="there are 3 training questions, too few for 5 folds"):
        fold([0, 1, 2], 5, 5, seed=0, what="question")
