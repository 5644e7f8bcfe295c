from collections import Counter

import pytest

from reformer.data import load
from reformer.data.index._chinese_reviews import read_chinese_reviews


def write(folder, pos, neg):
    folder.mkdir()
    for label, lines in (("pos", pos), ("neg", neg)):
        (folder / f"{label}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def test_duplicates_and_texts_of_both_labels_go_before_splitting(tmp_path):
    pos = [f"好{number}" for number in range(20)]
    neg = [f"差{number}" for number in range(10)]
    splits = read_chinese_reviews(write(tmp_path / "a", [*pos, *pos, "中", ""], [*neg, "中", "中"]))
    assert {name: Counter(document.label for document in found) for name, found in splits.items()} == {
        "train": {"pos": 16, "neg": 8},
        "validation": {"pos": 2, "neg": 1},
        "test": {"pos": 2, "neg": 1},
    }
    texts = [document.text for found in splits.values() for document in found]
    assert sorted(texts) == sorted(pos + neg)


def test_the_split_does_not_hang_on_the_order(tmp_path):
    pos = [f"好{number}" for number in range(20)]
    forwards = read_chinese_reviews(write(tmp_path / "a", pos, ["差"]))
    backwards = read_chinese_reviews(write(tmp_path / "b", pos[::-1], ["差"]))
    for name, documents in forwards.items():
        assert [document.text for document in documents] == [document.text for document in backwards[name]]


@pytest.mark.data
def test_the_real_reviews():
    splits = load("chinese-reviews")
    assert Counter(document.label for found in splits.values() for document in found) == {"pos": 8_332, "neg": 9_031}
    assert {name: len(documents) for name, documents in splits.items()} == {
        "train": 13_889,
        "validation": 1_736,
        "test": 1_738,
    }
