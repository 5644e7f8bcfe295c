"""Conversion between formats: a round trip loses nothing, or says what."""

import json
import tempfile
import warnings
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reformer.data import DataError, Document, Span, read_documents
from reformer.data.convert import convert
from reformer.data.formats._brat import brat
from reformer.data.formats.table import JSON_FORMATS
from reformer.data.formats.writers import WRITTEN, write_documents
from reformer.data.notes import DataWarning
from reformer.data.spans import SpanReading, fitted_spans
from reformer.errors import ReformerError

KEEP = SpanReading(on_overlap="keep")
TAGGED = ("conll", "bioes", "bmes", "biluo", "io", "conllu")
OF_SPANS = [format for format in WRITTEN if format not in ("csv", "tsv", "brat")]
LOC = Span(0, 2, "LOC")


def written(path, documents, format):
    errors = []
    path.write_bytes("".join(write_documents(documents, format, errors.append)).encode())
    return errors


def convert_to(folder, format, *documents, source="jsonl", **options):
    """The documents converted: the file, and what was refused."""
    (folder / "in").unlink(missing_ok=True)
    assert written(folder / "in", documents, source) == []
    errors, output = [], folder / f"out-{format}"
    convert(str(folder / "in"), output, format=source, write_as=format, spans=KEEP, on_error=errors.append, **options)
    return output, [error.problem for error in errors]


def read_back(path, format):
    own = None if format == "brat" else "conll" if format in TAGGED and format != "conllu" else format
    return [(each.text, each.spans) for each in read_documents(path, format=own, spans=KEEP)]


@st.composite
def documents(draw):
    """A text and entities over it, as they are read: of whole graphemes, without blanks at their ends."""
    alphabet = st.sampled_from("ab Zü北京李。, 1\n\t\u3000\u0301👍\"'#|\\-_;\u2028\r\x85")
    text = draw(st.text(alphabet, min_size=1, max_size=14).filter(str.strip))
    if draw(st.integers(0, 9)) == 0:
        return Document(text, "x")
    places = draw(st.lists(st.tuples(st.integers(0, len(text)), st.integers(0, len(text))), max_size=4))
    names = st.sampled_from(("PER", "LOC", "B-X", "person name", "类型", "I", "O", "x|y"))
    spans = {Span(min(place), max(place), draw(names)) for place in places if place[0] != place[1]}
    fitted = {each for span in spans for each in fitted_spans([span], text)}
    return Document(text, "x", spans=tuple(sorted(fitted, key=lambda span: (span.start, span.end, span.label))))


@pytest.mark.parametrize("format", [*OF_SPANS, "brat"])
@example([Document(" \u0301", "x", spans=(Span(0, 2, "PER"),))])
@given(st.lists(documents(), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_a_round_trip_loses_nothing_or_is_refused(format, given_documents):
    texts = [(each.text, None if each.spans is None else set(each.spans)) for each in given_documents]
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        try:
            output, refused = convert_to(Path(name), format, *given_documents)
        except ReformerError:
            # All were refused, or the file as a whole would be read otherwise, which JSON never is.
            if format in JSON_FORMATS and format != "tokens":
                raise
            assert not (Path(name) / f"out-{format}").exists()
            return
        found = [(text, None if spans is None else set(spans)) for text, spans in read_back(output, format)]
        assert len(found) + len(refused) == len(texts)
        left = iter(texts)
        assert all(each in left for each in found)
        assert format not in JSON_FORMATS or refused == [] or format == "tokens"


@pytest.mark.parametrize("format", [*OF_SPANS, "brat"])
@pytest.mark.filterwarnings("ignore::reformer.data.notes.DataWarning")
def test_usual_documents_are_never_refused(tmp_path, format):
    texts = [
        Document("北京欢迎 👍", "1", spans=(LOC,)),
        Document("EU rejects German call .", "2", spans=(Span(0, 2, "ORG"), Span(11, 17, "MISC"))),
        Document("Zürich's", "3", spans=(Span(0, 6, "LOC"),)),
        Document("李敏 说：好", "4", spans=()),
    ]
    output, refused = convert_to(tmp_path, format, *texts)
    assert refused == []
    assert read_back(output, format) == [(each.text, each.spans) for each in texts]


@pytest.mark.parametrize("format", TAGGED)
def test_what_tags_cannot_say_is_refused(tmp_path, format):
    nested = Document("北京大学", "n", spans=(LOC, Span(0, 4, "ORG")))
    lines = Document("北京\n上海", "l", spans=(LOC,))
    usual = Document("北京了", "1", spans=(LOC,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        _, refused = convert_to(tmp_path, format, nested, lines, usual)
    assert refused == [
        f"{format} cannot hold this: spans 0:2 (LOC) and 0:4 (ORG) overlap",
        f"{format} cannot hold this: a line break in '北京\\n上海'",
    ]


def test_neighbours_of_one_type_need_a_prefix(tmp_path):
    two = Document("北京上海了", "1", spans=(LOC, Span(2, 4, "LOC")))
    with pytest.raises(ReformerError, match="no document is left"):
        convert_to(tmp_path, "io", two)
    with pytest.warns(DataWarning, match="ids for which bioes has no place, left out: 1"):
        assert convert_to(tmp_path, "bioes", two)[1] == []


def test_ids_classes_and_fields_that_are_lost_are_told_of(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        '{"id": "7", "text": "北京", "label": "x", "meta": {"a": 1}, "spans": [{"start": 0, "end": 2, "label": "LOC"}]}'
    )
    options = {"spans": KEEP, "on_error": pytest.fail}
    with pytest.warns(DataWarning) as warned:
        convert(str(tmp_path / "a.jsonl"), tmp_path / "a.conll", **options)
    assert [str(each.message).replace(f"{tmp_path}/", "") for each in warned] == [
        "a.jsonl: fields 'meta' left out: 1, first at line 1",
        "a.conll: ids for which conll has no place, left out: 1",
        "a.conll: classes for which conll has no place, left out: 1",
    ]


def test_a_file_that_would_be_read_otherwise_is_not_left(tmp_path):
    """Words that look like those of the Weibo corpus are read without their digits."""
    weibo = Document("a0 b1 c0 d1", "1", spans=(Span(0, 2, "X"),))
    with pytest.raises(ReformerError, match=r"out-conll: conll would not give back the document at .*in:1"):
        convert_to(tmp_path, "conll", weibo)
    assert [each.name for each in tmp_path.iterdir()] == ["in"]


def test_classes_go_between_tables_and_json(tmp_path):
    texts = [Document('say "x",\n好', "1", label="pos"), Document("坏", "2", label="neg")]
    for format in ("csv", "tsv", "jsonl", "label-studio", "prodigy"):
        output, refused = convert_to(tmp_path, format, *texts)
        assert refused == []
        assert [(each.text, each.label) for each in read_documents(output, format=format)] == [
            (each.text, each.label) for each in texts
        ]


def test_classes_in_a_list_are_kept_or_told_of(tmp_path):
    several = Document("北京", "in:1", labels=("体育", "财经"), spans=(LOC,))
    for format in ("jsonl", "prodigy"):
        output, _ = convert_to(tmp_path, format, several)
        assert [each.classes for each in read_documents(output, format=format)] == [("体育", "财经")]
    with pytest.warns(DataWarning, match="classes for which conll has no place, left out: 1"):
        convert_to(tmp_path, "conll", several)
    several = Document("北京", "1", labels=("体育", "财经"))
    for format in ("doccano", "label-studio"):
        output, _ = convert_to(tmp_path, format, several)
        assert [each.classes for each in read_documents(output, format=format)] == [("体育", "财经")]
    with pytest.raises(ReformerError, match="no document is left"):
        convert_to(tmp_path, "csv", several)


def test_a_file_is_read_in_its_encoding_and_without_a_header(tmp_path):
    (tmp_path / "a.csv").write_bytes("很好,pos\n很差,neg\n不错,pos\n太差,neg\n".encode("gb18030"))
    options = {"on_error": pytest.fail, "encoding": "gb18030", "header": False}
    convert(str(tmp_path / "a.csv"), tmp_path / "a.jsonl", **options)
    found = [(each.text, each.label) for each in read_documents(tmp_path / "a.jsonl")]
    assert found[:2] == [("很好", "pos"), ("很差", "neg")]


def test_fields_that_hold_nothing_are_not_told_of(tmp_path):
    record = {
        "id": 1,
        "text": "北京",
        "label": [[0, 2, "LOC"]],
        "meta": {},
        "annotation_approver": None,
        "Comments": [],
    }
    (tmp_path / "a.jsonl").write_text(json.dumps(record))
    convert(str(tmp_path / "a.jsonl"), tmp_path / "b.jsonl", spans=KEEP, on_error=pytest.fail)


def test_the_format_is_told_by_name_or_asked_for(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "北京", "spans": []}\n')
    source, options = str(tmp_path / "a.jsonl"), {"spans": KEEP, "on_error": pytest.fail}
    for name in ("b.bioes", "b.iob2", "b.conllu", "b.jsonl.gz"):
        convert(source, tmp_path / name, **options)
        assert [each.text for each in read_documents(tmp_path / name)] == ["北京"]
    for name in ("b.json", "b.txt", "b"):
        with pytest.raises(ReformerError, match=r"nothing tells the format to write; give --to, one of jsonl, doccano"):
            convert(source, tmp_path / name, **options)
    with pytest.raises(ReformerError, match="brat has two files for a document"):
        convert(source, tmp_path / "b.ann", **options)
    with pytest.raises(ReformerError, match="exists"):
        convert(source, tmp_path / "b.bioes", **options)


def test_brat_refuses_what_its_lines_cannot_hold():
    with pytest.raises(DataError, match="which has a blank"):
        brat(Document("北京", "1", spans=(Span(0, 2, "a b"),)))
    with pytest.raises(DataError, match="nobody has looked at"):
        brat(Document("北京", "1"))
