import pytest

from reformer.data import load
from reformer.data.index._msra_ner import read_msra_ner


def test_the_test_split_begins_where_the_official_one_does(tmp_path):
    chunks = [f"第\tO\n{number}\tI-LOC\n" for number in range(40)]
    test = "".join(f"{character}\tO\n" for character in "中共中央致中国致公党十一大的贺词")
    (tmp_path / "dh_msra.txt").write_text("\n".join([*chunks, test, "北\tB-LOC\n京\tI-LOC\n"]), encoding="utf-8")
    splits = read_msra_ner(tmp_path)
    assert {name: len(documents) for name, documents in splits.items()} == {"train": 38, "validation": 2, "test": 2}
    # Strict IOB2: an I- that follows nothing is no entity.
    assert not any(document.spans for document in splits["train"])
    assert [document.id for document in splits["test"]] == ["msra-ner:40", "msra-ner:41"]


@pytest.mark.data
def test_the_real_chunks():
    splits = load("msra-ner")
    assert {name: len(documents) for name, documents in splits.items()} == {
        "train": 48_125,
        "validation": 2_533,
        "test": 4_631,
    }
    entities = {name: sum(len(document.spans or ()) for document in found) for name, found in splits.items()}
    assert entities["train"] + entities["validation"] == 74_703
    assert entities["test"] == 6_181
    assert max(len(document.text) for found in splits.values() for document in found) == 100
