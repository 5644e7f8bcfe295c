"""Encodings: a file in another one is refused with its name and the way out, or read with that name."""

import codecs
import gzip

import pytest

from reformer.data import DataError, read_documents
from reformer.data.readers._encodings import likely_encoding

SAMPLES = {
    "gb18030": "不错,很好的饭店",
    "big5": "服務很好,房間乾淨\n這是一個很好的飯店",
    "cp932": "これは日本語です。とても良いホテル",
    "euc_jp": "これは日本語です。",
    "cp949": "이것은 한국어 문장입니다",
    "cp1251": "Это хороший отель\nплохой номер",
    "cp1252": "Das Hotel war schön – für mich",
    "cp1250": "Kočka na střeše, pěkný hotel",
}


@pytest.mark.parametrize("encoding", SAMPLES)
def test_the_commonest_encodings_are_told_by_a_line(encoding):
    assert likely_encoding(SAMPLES[encoding].encode(encoding)) == encoding


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_encodings_are_told_by_their_mark_or_their_zeros(encoding):
    assert likely_encoding("text,label\ngood,pos\n".encode(encoding)) == encoding


def test_a_few_stray_bytes_are_no_encoding():
    assert likely_encoding(b"text,label\n\xff,pos\n") is None


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.txt"])
@pytest.mark.parametrize(
    ("encoding", "iconv"), [("utf-16", "UTF-16"), ("gb18030", "GB18030"), ("utf-16-le", "UTF-16-LE")]
)
def test_the_remedy_names_the_encoding(tmp_path, name, encoding, iconv):
    content = "text,label\n这是一个很好的饭店,good\n".encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(DataError, match=rf"not UTF-8.* iconv -f {iconv} .*--encoding {encoding} "):
        list(read_documents(tmp_path / name))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf_8_sig", "gb18030", "GBK"])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl"])
def test_a_file_is_read_in_the_encoding_that_is_given(read, name, encoding):
    content = '{"text": "很好"}\n{"text": "很差"}\n' if "jsonl" in name else "text\n很好\n很差\n"
    found = read(name, content.encode(encoding), encoding=encoding, label_column=None)
    assert [(each.text, each.id) for each in found.documents][-1][0] == "很差"
    assert not found.errors


def test_a_long_file_is_recoded_by_parts(read):
    text = "很好" * 70_000
    assert read("a.csv", f"text\n{text}\n".encode("utf-16"), encoding="utf-16", label_column=None).texts == [text]


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        ("text\n这是一个很好的饭店\n".encode(), "utf-16-be", "not utf-16-be .*it seems to be utf-8"),
        ("text\n这是一个很好的饭店\n".encode("gb18030"), "cp932", "not cp932 .*it seems to be gb18030"),
        ("text\n这是一个很好的饭店\n".encode(), "utf-16", "not utf-16 .*it seems to be utf-8"),
        (b"text\na\n", "utf-99", "there is no encoding 'utf-99'"),
        (b"text\na\n", "base64", "there is no encoding 'base64'"),
    ],
)
def test_a_wrong_encoding_is_refused(tmp_path, content, encoding, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_documents(tmp_path / "a.csv", encoding=encoding, label_column=None))


def test_one_line_in_another_encoding_is_no_reason_to_recode_the_file(read):
    found = read("a.csv", "text,label\n好的,pos\n".encode() + "不错的饭店,neg\n".encode("gb18030"))
    assert found.texts == ["好的"]
    assert "what stands before it is UTF-8 and this is not, it seems to be GB18030" in found.errors[0]


def test_ascii_in_utf_16_without_a_mark_is_no_utf_8(tmp_path):
    (tmp_path / "a.tsv").write_bytes("text\tlabel\ngood\tpos\n".encode("utf-16-le"))
    with pytest.raises(DataError, match=r"a byte of 0 beside each letter.*--encoding utf-16-le"):
        list(read_documents(tmp_path / "a.tsv"))


def test_a_mark_of_utf_16_is_none_of_the_text(read):
    data = codecs.BOM_UTF16_LE + "text\n好\n".encode("utf-16-le")
    assert read("a.csv", data, encoding="utf-16-le", label_column=None).texts == ["好"]
