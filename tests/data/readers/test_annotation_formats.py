"""Files of annotation tools and data sets."""

import json
import random

import pytest

from reformer.data import DataError, Span, read_documents
from reformer.data.notes import DataWarning
from reformer.data.spans import SpanReading
from tests.fuzz.mutate import mutated_bytes, mutated_json

TEXT = "江泽民在北京"
PER = {"start": 0, "end": 3, "label": "PER"}
NOT_SEEN = SpanReading(wanted=False)


def dump(*records) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def entities(document):
    return None if document.spans is None else [(document.text[s.start : s.end], s.label) for s in document.spans]


def studio(*results, text=TEXT, **more):
    return {"id": 1, "annotations": [{"id": 1, "result": list(results)}], "data": {"text": text}} | more


def region(start, end, text, *labels, type="labels"):
    value = {"start": start, "end": end, "text": text, type: list(labels)}
    return {"value": value, "from_name": "label", "to_name": "text", "type": type}


RECORDS = {
    "spans": {"text": TEXT, "spans": [PER]},
    "spans as lists": {"text": TEXT, "spans": [[0, 3, "PER"]]},
    "offsets as floats": {"text": TEXT, "spans": [{"start": 0.0, "end": 3.0, "label": "PER"}]},
    "labels with blanks": {"text": TEXT, "spans": [PER | {"label": " PER "}]},
    "doccano's label": {"id": 1, "text": TEXT, "label": [[0, 3, "PER"]]},
    "doccano's labels": {"id": 1, "text": TEXT, "meta": {}, "annotation_approver": None, "labels": [[0, 3, "PER"]]},
    "doccano's entities": {
        "id": 1,
        "text": TEXT,
        "entities": [{"id": 1, "label": "PER", "start_offset": 0, "end_offset": 3}],
        "relations": [],
    },
    "Label Studio": studio(region(0, 3, "江泽民", "PER")),
    "Label Studio of old": {
        "data": {"text": TEXT},
        "completions": [{"result": [region(0, 3, "江泽民", "PER")]}],
    },
    "Label Studio's JSON-MIN": {
        "id": 1,
        "text": TEXT,
        "ner": [{"start": 0, "end": 3, "text": "江泽民", "labels": ["PER"]}],
        "annotator": 1,
    },
    "Prodigy": {
        "text": TEXT,
        "spans": [PER | {"token_start": 0, "token_end": 0}],
        "tokens": [{"text": "江泽民", "start": 0, "end": 3, "id": 0}],
        "answer": "accept",
    },
    "spaCy": [TEXT, {"entities": [[0, 3, "PER"]]}],
    "tokens": {"tokens": list(TEXT), "ner_tags": ["B-PER", "I-PER", "I-PER", "O", "O", "O"]},
    "tokens in BIOES": {"words": list(TEXT), "tags": ["B-PER", "I-PER", "E-PER", "O", "O", "O"]},
    "CLUENER": {"text": TEXT, "label": {"PER": {"江泽民": [[0, 2]]}}},
    "CMeEE": {"text": TEXT, "entities": [{"start_idx": 0, "end_idx": 2, "type": "PER", "entity": "江泽民"}]},
    "CMeEE, the end behind": {
        "text": TEXT,
        "entities": [{"start_idx": 0, "end_idx": 3, "type": "PER", "entity": "江泽民"}],
    },
    "a pipeline's": {"text": TEXT, "entities": [{"start": 0, "end": 3, "entity_group": "PER", "word": "江泽民"}]},
}


@pytest.mark.parametrize("record", RECORDS.values(), ids=list(RECORDS))
@pytest.mark.parametrize("form", ["a line", "a list", "an indented list"])
def test_records_are_told_by_their_fields(read, record, form):
    whole = dump(record, record) if form == "a line" else json.dumps([record] * 2, indent=2 * ("ind" in form) or None)
    found = read("a.jsonl" if form == "a line" else "a.json", whole)
    assert found.errors == []
    assert [(document.text, entities(document)) for document in found.documents] == [(TEXT, [("江泽民", "PER")])] * 2


@pytest.mark.parametrize("record", RECORDS.values(), ids=list(RECORDS))
def test_without_entities_the_text_is_all_that_is_looked_at(read, record):
    found = read("a.jsonl", dump(record), spans=NOT_SEEN, label_column=None)
    assert (found.texts, found.documents[0].spans) == ([TEXT], None)


WRONG = {
    "spans that overlap": {"text": TEXT, "spans": [PER, PER | {"end": 4}]},
    "spans outside": {"text": TEXT, "spans": [PER | {"end": 99}]},
    "spans of another form": {"text": TEXT, "spans": {"a": 1}},
    "two fields of spans": {"text": TEXT, "spans": [PER], "entities": [PER]},
    "numbers for tags": {"tokens": list(TEXT), "ner_tags": [1, 2, 2, 0, 0, 0]},
    "fewer tags": {"tokens": list(TEXT), "ner_tags": ["O"]},
    "annotators who disagree": {
        "data": {"text": TEXT},
        "annotations": [{"result": [region(0, 3, "江泽民", "PER")]}, {"result": []}],
    },
    "CMeEE without texts": {"text": TEXT, "entities": [{"start_idx": 0, "end_idx": 2, "type": "PER"}]},
    "a rejected one": {"text": TEXT, "spans": [PER], "answer": "reject"},
}


@pytest.mark.parametrize("record", WRONG.values(), ids=list(WRONG))
def test_what_is_wrong_with_entities_leaves_no_text_unread(read, record):
    assert read("a.jsonl", dump(record), spans=NOT_SEEN, label_column=None).texts == [TEXT]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("spans that overlap", "spans 0:3 (PER) and 0:4 (PER) overlap"),
        ("spans outside", "span 0:99 (PER) is not inside the text of 6 characters"),
        ("two fields of spans", "the fields 'spans' and 'entities' both have spans"),
        ("numbers for tags", "'ner_tags' are numbers, whose names stand elsewhere; write the names, in datasets:"),
        ("fewer tags", "there are 6 tokens and 1 of 'ner_tags'"),
        ("annotators who disagree", "2 annotations of one text say different things"),
        ("CMeEE without texts", "nothing says whether the end of 0:2 (PER) belongs to the span"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(read, name, problem):
    found = read("a.jsonl", dump({"text": "好"}, WRONG[name]))
    assert found.texts == ["好"]
    assert found.errors[0].startswith(f"a.jsonl:2: {problem}")


def test_a_list_names_the_line_of_a_record_and_numbers_it(read):
    found = read("a.json", json.dumps([{"text": "好"}, WRONG["spans outside"], {"text": "坏"}], indent=1))
    assert [document.id for document in found.documents] == ["a.json:1", "a.json:3"]
    assert found.errors[0].startswith("a.json:5: span 0:99")


def test_no_entities_are_not_the_same_as_nobody_having_looked(read):
    records = (
        *(
            {"text": "一", "label": []},
            {"text": "二", "spans": []},
            {"text": "三", "label": {}},
            ["四", {"entities": []}],
        ),
        *({"data": {"text": "五"}, "annotations": [{"result": []}]}, {"tokens": ["六"], "ner_tags": ["O"]}),
    )
    assert [document.spans for document in read("a.jsonl", dump(*records)).documents] == [()] * 6
    records = ({"text": "一"}, ["二", {}], {"data": {"text": "三"}, "annotations": []}, {"tokens": ["四"]})
    assert [document.spans for document in read("a.jsonl", dump(*records)).documents] == [None] * 4


def test_annotations_that_do_not_count_are_left_out_and_counted(read):
    records = (
        *({"text": "一", "spans": [], "answer": "accept"}, {"text": "二", "spans": [], "answer": "reject"}),
        *({"text": "三", "answer": "ignore"}, {"text": "四", "answer": "ignore"}),
        {"data": {"text": "五"}, "annotations": [{"was_cancelled": True, "result": []}]},
    )
    with pytest.warns(DataWarning) as warned:
        found = read("a.jsonl", dump(*records))
    assert found.texts == ["一"]
    assert [str(each.message).rpartition("/")[2] for each in warned] == [
        "a.jsonl: records left out that the annotator rejected: 1, first at line 2",
        "a.jsonl: records left out that the annotator ignored: 2, first at line 3",
        "a.jsonl: records left out that the annotator skipped: 1, first at line 5",
    ]


def test_what_is_not_read_is_counted(read):
    relation = {"from_id": "a", "to_id": "b", "type": "relation"}
    records = ({"text": TEXT, "entities": [PER], "relations": [{"id": 1}, {"id": 2}]}, studio(relation))
    with pytest.warns(DataWarning) as warned:
        read("a.jsonl", dump(*records))
    assert [str(each.message).rpartition("/")[2] for each in warned] == [
        "a.jsonl: relations left out: 2, first at line 1",
        "a.jsonl: relation left out: 1, first at line 2",
    ]


def test_label_studio_counts_as_browsers_do(read):
    [document] = read("a.json", json.dumps([studio(region(2, 4, "北京", "LOC"), text="👍北京欢迎")])).documents
    assert document.spans == (Span(1, 3, "LOC"),)


def test_label_studios_choices_are_the_class(read):
    choice = {"value": {"choices": ["好"]}, "type": "choices"}
    [document] = read("a.json", json.dumps([studio(choice)])).documents
    assert (document.label, document.spans) == ("好", None)


@pytest.mark.parametrize(
    ("record", "options", "classes"),
    [
        ({"text": "好", "topic": {"choices": ["a", "b"]}, "annotator": 1}, {"label_column": "topic"}, ("a", "b")),
        ({"text": "好", "sentiment": "pos", "annotator": 1}, {"label_column": "sentiment"}, ("pos",)),
        ({"text": "好", "options": [{"id": "a"}, {"id": "b"}], "accept": ["b"], "answer": "accept"}, {}, ("b",)),
        ({"text": "好", "accept": ["b"]}, {}, None),
    ],
    ids=["several choices of JSON-MIN", "one choice of JSON-MIN", "Prodigy's options", "no options"],
)
def test_choices_are_classes(read, record, options, classes):
    [document] = read("a.jsonl", dump(record), **options).documents
    assert (document.classes, document.spans) == (classes, None)
    assert read("a.jsonl", dump(record), label_column=None).documents[0].classes is None


def test_records_may_be_wrapped_in_one_object(read):
    wrapped = {"version": "1", "data": [RECORDS["spans"], RECORDS["doccano's label"]]}
    for content in (json.dumps(wrapped), json.dumps(wrapped, indent=1)):
        found = read("a.json", content)
        assert [(each.text, entities(each)) for each in found.documents] == [(TEXT, [("江泽民", "PER")])] * 2


def test_objects_of_several_lines_each_are_read_with_their_lines(read):
    records = (RECORDS["spans"], WRONG["spans outside"])
    found = read("a.json", "".join(json.dumps(each, indent=1) + "\n" for each in records))
    assert found.texts == [TEXT]
    assert found.errors[0].startswith("a.json:11: span 0:99")
    broken = read("a.json", '{\n"text": "好"\n}\nand more\n')
    assert broken.errors
    assert not broken.documents


def test_a_field_of_classes_beside_spans_is_not_looked_at_without_label(read):
    [document] = read("a.jsonl", dump({"text": TEXT, "label": ["新闻"], "spans": [PER]}), label_column=None).documents
    assert entities(document) == [("江泽民", "PER")]


def test_a_named_format_allows_no_other(read):
    assert read("a.jsonl", dump(RECORDS["spaCy"]), format="spacy").texts == [TEXT]
    found = read("a.jsonl", dump(RECORDS["spaCy"]), format="cluener")
    assert found.errors[0].startswith("a.jsonl:1: a JSON array where an object should be")


def test_tokens_of_words_are_written_with_spaces(read):
    [document] = read("a.jsonl", dump({"id": "0", "tokens": ["UN", "hears"], "ner_tags": ["B-ORG", "O"]})).documents
    assert (document.id, document.text, entities(document)) == ("0", "UN hears", [("UN", "ORG")])


class TestBrat:
    def write(self, folder, entities, text="王伟在\n北京", name="a"):
        (folder / f"{name}.txt").write_text(text, encoding="utf-8", newline="")
        (folder / f"{name}.ann").write_text(entities, encoding="utf-8", newline="")
        return folder / f"{name}.ann"

    def test_a_file_and_a_folder_of_them(self, tmp_path):
        file = self.write(tmp_path, "T1\tPER 0 2\t王伟\nT2\tLOC 4 6\t北京\n")
        self.write(tmp_path, "", "空", "b")
        [document] = read_documents(file)
        assert (document.id, document.text, entities(document)) == (
            "a",
            "王伟在\n北京",
            [("王伟", "PER"), ("北京", "LOC")],
        )
        assert [(each.id, entities(each)) for each in read_documents(tmp_path)] == [
            ("a", entities(document)),
            ("b", []),
        ]

    def test_an_entity_over_a_line_end_has_a_space_there(self, tmp_path):
        [document] = read_documents(self.write(tmp_path, "T1\tX 2 6\t在 北京\n"))
        assert entities(document) == [("在\n北京", "X")]

    def test_other_lines_are_counted(self, tmp_path):
        file = self.write(tmp_path, "T1\tPER 0 2\t王伟\nR1\tIn Arg1:T1 Arg2:T2\n#1\tAnnotatorNotes T1\tx\n")
        with pytest.warns(DataWarning) as warned:
            list(read_documents(file))
        assert [str(each.message).rpartition("/")[2] for each in warned] == [
            "a.ann: relations left out: 1, first at line 2",
            "a.ann: notes left out: 1, first at line 3",
        ]

    def test_an_entity_of_several_parts_is_named(self, tmp_path):
        file = self.write(tmp_path, "T1\tX 0 1;4 6\t王 北京\n")
        with pytest.raises(DataError, match=r"a\.ann:1: the entity 0 1;4 6 \(X\) is of several parts"):
            list(read_documents(file))
        with pytest.warns(DataWarning, match="several parts read from their first"):
            [document] = read_documents(file, spans=SpanReading(repair=True))
        assert entities(document) == [("王伟在\n北京", "X")]

    def test_a_text_that_is_not_there_is_named(self, tmp_path):
        (tmp_path / "a.ann").write_text("T1\tPER 0 2\t王伟\n")
        with pytest.raises(DataError, match=r"the text of these entities is not beside them; put a\.txt there"):
            list(read_documents(tmp_path / "a.ann"))

    def test_a_line_that_is_none_is_named(self, tmp_path):
        with pytest.raises(DataError, match=r"a\.ann:1: 'T1 PER 0 2' is no entity"):
            list(read_documents(self.write(tmp_path, "T1 PER 0 2\n")))


@pytest.mark.parametrize("name", list(RECORDS))
@pytest.mark.filterwarnings("ignore::reformer.data.notes.DataWarning")
def test_mutated_records_are_read_or_refused(read, name):
    """What is read again has spans inside of its text; anything but a `DataError` ends the test."""
    pick = random.Random(name)
    whole = json.dumps([RECORDS[name]] * 2, ensure_ascii=False).encode()
    for _ in range(100):
        changed = mutated_json(whole, pick, ("spans", "entities", "label", "text", "data", "tokens"))
        changed = changed if pick.random() < 0.7 else mutated_bytes(changed, pick)
        try:
            for document in read("a.json", changed, spans=SpanReading(pick.random() < 0.5, "longest")).documents:
                for span in document.spans or ():
                    assert document.text[span.start : span.end].strip()
        except DataError:
            pass
