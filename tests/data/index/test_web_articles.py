import pickle
from collections import Counter

import pytest

from reformer.data import load
from reformer.data.index._web_articles import read_web_articles


def write(folder, **splits):
    for name in ("train", "dev", "test"):
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(splits.get(name, ([], [], []))))
    return folder


def test_a_text_stands_in_one_split_alone_and_once(tmp_path):
    folder = write(
        tmp_path,
        train=(["T", "T", "U"], ["one\\ntwo", "one\\ntwo", "three"], [2, 2, 0]),
        dev=(["U", "V"], ["three", "four"], [1, 1]),
        test=(["V"], ["four"], [0]),
    )
    splits = read_web_articles(folder)
    assert {name: [(each.text, each.label) for each in found] for name, found in splits.items()} == {
        "train": [("T\none\ntwo", "2")],
        "validation": [("U\nthree", "1")],
        "test": [("V\nfour", "0")],
    }
    assert splits["validation"][0].id == "web-articles:validation:1"


@pytest.mark.data
def test_the_real_articles():
    splits = load("web-articles")
    assert {name: Counter(each.label for each in found) for name, found in splits.items()} == {
        "train": {"0": 564, "1": 2628, "2": 2060},
        "validation": {"0": 85, "1": 490, "2": 420},
        "test": {"0": 99, "1": 494, "2": 406},
    }
    assert max(len(each.text) for found in splits.values() for each in found) == 32_793
