import pytest

from reformer.data import fetch, load, span_problem
from reformer.data.index._people_daily import (
    _paragraphs,
    read_people_daily,
    read_people_daily_words,
    tagged_paragraph,
)


def entities(line):
    text, spans = tagged_paragraph(line)
    return [(text[span.start : span.end], span.label) for span in spans]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("江/nr  泽民/nr  在/p  北京/ns", [("江泽民", "PER"), ("北京", "LOC")]),
        ("陈/nr  方/nr  安生/nr", [("陈方安生", "PER")]),
        ("李/nr  鹏/nr  乔/nr  石/nr", [("李鹏", "PER"), ("乔石", "PER")]),
        ("吴/nr  希曾/nr  刘/nr  伯根/nr  岑红/nr", [("吴希曾", "PER"), ("刘伯根", "PER"), ("岑红", "PER")]),
        ("中国/ns  上海/ns  新华社/nt", [("中国", "LOC"), ("上海", "LOC"), ("新华社", "ORG")]),
        ("1/2/m  年/q", []),
    ],
)
def test_words_become_entities(line, found):
    assert entities(line) == found


def test_splits_share_no_text(tmp_path):
    lines = [f"{number}/m  年/q" for number in range(200)]
    lines[5] = lines[175] = lines[190] = "图片/n"
    lines[6] = lines[176] = "天气/n"
    (tmp_path / "199801.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    splits = read_people_daily(tmp_path)
    assert {name: len(documents) for name, documents in splits.items()} == {"train": 169, "validation": 8, "test": 20}
    assert "图片" in [document.text for document in splits["test"]]
    texts = {name: {document.text for document in documents} for name, documents in splits.items()}
    assert not texts["train"] & (texts["validation"] | texts["test"])
    assert not texts["validation"] & texts["test"]
    assert splits["test"][0].id == "people-daily:181"


def test_words_have_their_part_of_speech_if_training_has_it(tmp_path):
    lines = [f"{number}/m  年/q  北京/ns" for number in range(200)]
    lines[195] = "江/nr  泽民/nr  说/v  好/a  年/q"
    lines[0] = "说/v"
    (tmp_path / "199801.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    splits = read_people_daily_words(tmp_path)
    found = [
        (document.text[span.start : span.end], span.label)
        for document in splits["train"][1:2]
        for span in document.spans
    ]
    assert found == [("1", "m"), ("年", "q"), ("北京", "LOC")]
    # Nobody in training is tagged nr or a.
    [document] = [document for document in splits["test"] if "泽民" in document.text]
    assert [(document.text[span.start : span.end], span.label) for span in document.spans] == [("说", "v"), ("年", "q")]
    assert [document.text for document in splits["test"]] == [d.text for d in read_people_daily(tmp_path)["test"]]


@pytest.mark.data
def test_the_real_newspaper():
    splits = load("people-daily")
    assert {name: len(documents) for name, documents in splits.items()} == {
        "train": 16_388,
        "validation": 866,
        "test": 1_949,
    }
    counts = {"PER": 0, "LOC": 0, "ORG": 0}
    for document in splits["test"]:
        assert document.spans is not None
        assert span_problem(document.text, document.spans) is None
        for span in document.spans:
            counts[span.label] += 1
    assert counts == {"PER": 1_936, "LOC": 3_244, "ORG": 376}
    first = splits["train"][1]
    assert first.text == "中共中央总书记、国家主席江泽民"
    words = load("people-daily-words", split="test")
    assert [document.text for document in words] == [document.text for document in splits["test"]]
    for document, with_words in zip(splits["test"], words, strict=True):
        assert set(document.spans or ()) <= set(with_words.spans or ())


@pytest.mark.data
def test_the_real_file_before_splitting():
    paragraphs = list(_paragraphs(fetch("people-daily") / "199801.txt"))
    assert len(paragraphs) == 19_484
    assert len(paragraphs) - len({document.text for document in paragraphs}) == 490
