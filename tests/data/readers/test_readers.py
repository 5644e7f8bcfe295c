"""What holds for every format."""

import gzip
import tracemalloc

import pytest

from reformer.data import FORMATS as ALL_FORMATS
from reformer.data import DataError, read_documents
from reformer.data.readers import _source

EXAMPLES = {
    "csv": "text,label\n北京,a\n上海,b\n",
    "tsv": "text\tlabel\n北京\ta\n上海\tb\n",
    "jsonl": '{"text": "北京", "label": "a"}\n{"text": "上海", "label": "b"}\n',
    "conll": "北\tB-LOC\n京\tI-LOC\n\n上\tB-LOC\n海\tI-LOC\n",
    "text": "北京\n上海\n",
    "fasttext": "__label__a 北京\n__label__b 上海\n",
    "alternating": "a 北京 b 上海\n",
    "conllu": "".join("\t".join(["1", city, *"_" * 7, "NER=B-LOC"]) + "\n\n" for city in ("北京", "上海")),
    "doccano": '{"text": "北京", "label": [[0, 2, "LOC"]]}\n{"text": "上海", "label": []}\n',
    "label-studio": '{"data": {"text": "北京"}}\n{"data": {"text": "上海"}, "annotations": []}\n',
    "label-studio-predictions": '{"data": {"text": "北京"}}\n{"data": {"text": "上海"}, "predictions": []}\n',
    "prodigy": '{"text": "北京", "answer": "accept"}\n{"text": "上海"}\n',
    "spacy": '["北京", {"entities": [[0, 2, "LOC"]]}]\n["上海", {}]\n',
    "tokens": '{"tokens": ["北", "京"], "ner_tags": ["B-LOC", "I-LOC"]}\n{"tokens": ["上", "海"]}\n',
    "cluener": '{"text": "北京", "label": {"LOC": {"北京": [[0, 1]]}}}\n{"text": "上海", "label": {}}\n',
    "cmeee": '{"text": "北京", "entities": []}\n{"text": "上海"}\n',
}
# brat has two files for a document.
FORMATS = [kind for kind in ALL_FORMATS if kind != "brat"]
TEXTS = {kind: ["北京", "上海"] for kind in FORMATS} | {"text": ["北京\n上海\n"]}


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read_by_name(read, kind, suffix, mark):
    found = read(f"file{suffix}", mark + EXAMPLES[kind], format=kind)
    assert found.texts == TEXTS[kind]
    assert not found.errors


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.csv", "csv"),
        ("a.tsv", "tsv"),
        ("a.jsonl", "jsonl"),
        ("a.conll", "conll"),
        ("a.bio", "conll"),
        ("a.iob", "conll"),
        ("a.txt", "text"),
        ("A.CSV", "csv"),
        ("a.jsonl.gz", "jsonl"),
    ],
)
def test_the_suffix_tells_the_format(read, name, kind):
    assert read(name, EXAMPLES[kind]).texts == TEXTS[kind]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("content", ["", "\n \n"], ids=["empty", "blank"])
def test_an_empty_file_is_an_error(tmp_path, kind, content):
    (tmp_path / "file").write_text(content)
    with pytest.raises(DataError, match=r"file.*: "):
        list(read_documents(tmp_path / "file", format=kind))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_byte_that_is_not_utf8_is_told_with_line_and_offset(tmp_path, kind):
    data = EXAMPLES[kind].encode()
    place = data.index("海".encode())
    (tmp_path / "file").write_bytes(data[:place] + b"\xff" + data[place:])
    line = 1 + data.count(b"\n", 0, place)
    with pytest.raises(DataError, match=f"file:{line}: not UTF-8 .byte 0xff at byte offset {place} .*UTF-8"):
        list(read_documents(tmp_path / "file", format=kind))


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "text"])
def test_a_line_that_is_not_utf8_is_passed_over(read, kind):
    found = read("file", EXAMPLES[kind].encode().replace("京".encode(), b"\xff"), format=kind)
    assert found.texts == ["上海"]
    assert len(found.errors) == 1


@pytest.mark.parametrize("kind", FORMATS)
def test_a_compressed_file_that_is_cut_off_is_an_error(tmp_path, kind):
    data = gzip.compress(EXAMPLES[kind].encode() * 2000)
    (tmp_path / "file.gz").write_bytes(data[:-12])
    with pytest.raises(DataError, match=r"file\.gz:\d+: the compressed file is broken here .*fetch the \.gz"):
        list(read_documents(tmp_path / "file.gz", format=kind, on_error=lambda error: None))


def test_a_gz_that_is_none(tmp_path):
    (tmp_path / "a.csv.gz").write_text("text\n")
    with pytest.raises(DataError, match="Not a gzipped file"):
        list(read_documents(tmp_path / "a.csv.gz"))


def test_missing_files_and_folders_are_told(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv: there is no such file; check the path"):
        list(read_documents(tmp_path / "none.csv"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=r"folder\.csv: the folder has no file of text"):
        list(read_documents(tmp_path / "folder.csv"))


def test_an_unknown_suffix_or_format_lists_those_there_are(tmp_path):
    with pytest.raises(DataError, match=r"a\.xyz: the suffix does not tell the format.*\.jsonl.*alternating"):
        list(read_documents(tmp_path / "a.xyz"))
    with pytest.raises(DataError, match="there is no format 'xlsx'; use one of csv, tsv"):
        list(read_documents(tmp_path / "a.csv", format="xlsx"))


def test_memory_does_not_grow_with_the_file(tmp_path):
    with (tmp_path / "a.jsonl").open("w") as file:
        file.writelines('{"text": "%s"}\n' % ("x" * 1000) for _ in range(5000))
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_documents(tmp_path / "a.jsonl")) == 5000
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_line_or_text_without_end_is_refused(tmp_path, kind, monkeypatch):
    """A small compressed file may hold a thousand times its size."""
    monkeypatch.setattr(_source, "MOST_BYTES", 1 << 20)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b"a" * (1 << 24)))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"more than 1,048,576 bytes; divide it into several documents"):
        list(read_documents(tmp_path / "bomb.gz", format=kind, text_column="a"))
    assert tracemalloc.get_traced_memory()[1] < 1 << 23
    tracemalloc.stop()


def test_an_error_of_the_callers_own_is_left_alone(tmp_path):
    (tmp_path / "a.jsonl").write_text("{\n")

    def full_disk(error):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        list(read_documents(tmp_path / "a.jsonl", on_error=full_disk))


@pytest.mark.parametrize(
    ("begin", "problem"),
    [
        (b"PK\x03\x04\x14\0", "a workbook of Excel, .*save it from its program as text, a table as CSV in UTF-8"),
        (b"\xd0\xcf\x11\xe0\xa1", "a file of an older Excel or Word; save it"),
        (b"%PDF-1.7\n", "a PDF; extract its text"),
        (gzip.compress(b"text,label\n", mtime=0), r"compressed by gzip; give it a name that ends with \.gz"),
    ],
    ids=["xlsx", "office", "pdf", "gzip"],
)
@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.jsonl"])
def test_a_file_that_is_no_text_is_named_by_its_kind(tmp_path, name, begin, problem):
    (tmp_path / name).write_bytes(begin + bytes(20))
    with pytest.raises(DataError, match=f"{name}: this is no text but {problem}"):
        list(read_documents(tmp_path / name))


@pytest.mark.parametrize("name", ["a.xlsx", "a.XLS", "a.docx", "a.pdf"])
def test_documents_of_office_programs_are_to_be_saved_as_text(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match="this is of an office program; save it from its program as text"):
        list(read_documents(tmp_path / name))


@pytest.mark.parametrize("name", ["a.tsv", "a.conll"])
def test_a_table_of_webanno_is_to_be_exported_otherwise(tmp_path, name):
    content = "#FORMAT=WebAnno TSV 3.3\n#T_SP=custom.Span|value\n\n\n#Text=北京\n1-1\t0-2\t北京\tLOC\t\n"
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=f"{name}:1: this is WebAnno's own TSV"):
        list(read_documents(tmp_path / name))


@pytest.mark.parametrize("kind", ["csv", "jsonl", "conll"])
def test_a_null_character_is_a_character(read, kind):
    content = {"csv": "text,label\n好\0很,a\n", "jsonl": '{"text": "好\\u0000很"}\n', "conll": "好\tO\n\0\tO\n很\tO\n"}
    assert read(f"a.{kind}", content[kind]).texts == ["好\0很"]


def test_marks_of_direction_are_characters_of_a_span(read):
    text = "\u200fשלום עולם\u200f"
    [document] = read("a.jsonl", f'{{"text": "{text}", "spans": [[0, 5, "X"], [6, 11, "Y"]]}}\n').documents
    assert [text[span.start : span.end] for span in document.spans] == ["\u200fשלום", "עולם\u200f"]
