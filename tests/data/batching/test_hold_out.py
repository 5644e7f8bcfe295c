"""Hold-out: the seed alone decides, and the same seed decides as it always has."""

import pytest

from reformer.data import DataError
from reformer.data.batching.hold_out import hold_out


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
