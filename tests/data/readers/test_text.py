"""Plain text and fastText."""

import pytest

from reformer.data import DataError, read_documents


def test_the_file_is_one_document_with_its_own_line_ends(read):
    [document] = read("a.txt", "一\r\n\r\n二\n").documents
    assert (document.text, document.id) == ("一\r\n\r\n二\n", "a.txt")
    assert document.source.endswith("a.txt:1")


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("王\tB-PER\n明\tI-PER\n", "CoNLL.*--format conll"),
        ("王 B-PER\n\n去 O\n", "CoNLL.*--format conll"),
        ("__label__pos 早餐\n__label__neg 房间\n", "fastText.*--format fasttext"),
        ('{"text": "好"}\n{"text": "差"}\n', "JSONL.*--format jsonl"),
        ("体育\t球赛开始\n财经\t股市上涨\n", "a table.*--format tsv --no-header"),
        ("text\tlabel\n好\tpos\n", "a table.*--format tsv, or --format text"),
    ],
)
def test_lines_that_are_records_are_no_plain_text_unless_it_is_said(tmp_path, content, hint):
    (tmp_path / "a.txt").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=rf"a\.txt:1: the lines look like {hint}"):
        list(read_documents(tmp_path / "a.txt"))
    assert [each.text for each in read_documents(tmp_path / "a.txt", format="text")] == [content]


@pytest.mark.parametrize("content", ["a\tb\n", "I am O\nB-52\n", "{x}\n{y}\n", "one\ttwo\nthree\n", "\tone\n\ttwo\n"])
def test_plain_text_is_read(read, content):
    assert read("a.txt", content).texts == [content]


def test_fasttext_has_a_class_a_line(read):
    found = read("a.txt", "__label__pos 早餐 好\n\n房间\n__label__a __label__b 两个\n", format="fasttext")
    assert [(each.text, each.classes, each.id) for each in found.documents] == [
        ("早餐 好", ("pos",), "a.txt:1"),
        ("两个", ("a", "b"), "a.txt:4"),
    ]
    assert found.errors == ["a.txt:3: the line has no __label__; begin it with its class, such as __label__pos"]
    assert read("a.txt", "房间\n__label__a 早餐\n", format="fasttext", label_column=None).texts == ["房间", "早餐"]
