"""The task of a file's records, and the fields of a recipe that name them."""

import gzip
import json

import pytest

from reformer.advice.records import CLASSES, ENTITIES, MASKED, PAIRS, QUESTIONS, TEXT, find_records
from reformer.data import DataError
from reformer.errors import ReformerError
from tests.tiny import write_conll, write_pairs, write_questions, write_reviews

SPANS = {"text": "王小明去了北京", "spans": [{"start": 0, "end": 3, "label": "PER"}]}


def _jsonl(path, *records) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


def test_the_records_tell_the_task(tmp_path):
    files = {
        ENTITIES: str(write_conll(tmp_path / "a.conll", 20)),
        CLASSES: str(write_reviews(tmp_path / "a.csv", 20)),
        QUESTIONS: str(write_questions(tmp_path / "a.jsonl", 20)),
        PAIRS: str(write_pairs(tmp_path / "a.tsv", 20)),
    }
    for task, file in files.items():
        found = find_records(file)
        assert found.task == task
        assert found.data == {"train": file}
        assert found.neighbours == (task == ENTITIES)
        assert len(list(found.documents)) == 20


def test_jsonl_has_entities_classes_or_neither(tmp_path):
    assert find_records(_jsonl(tmp_path / "a.jsonl", SPANS, {"text": "好", "spans": []})).task == ENTITIES
    assert find_records(_jsonl(tmp_path / "b.jsonl", {"text": "好", "label": "a"})).task == CLASSES
    assert find_records(_jsonl(tmp_path / "c.jsonl", {"text": "好"}, {"text": "坏"})).task == MASKED
    both = _jsonl(tmp_path / "d.jsonl", SPANS | {"kind": "a"}, SPANS | {"kind": "b"})
    assert find_records(both).task == ENTITIES
    assert find_records(both, label_column="kind").task == CLASSES


def test_a_compressed_file_of_another_name_is_read_by_its_format(tmp_path):
    path = tmp_path / "a.data.gz"
    path.write_bytes(gzip.compress("text\tlabel\n好\tup\n坏\tdown\n".encode()))
    found = find_records(str(path), format="tsv")
    assert found.data == {"train": str(path), "format": "tsv"}
    assert [document.label for document in found.documents] == ["up", "down"]


def test_columns_of_other_names_are_named_in_the_recipe(tmp_path):
    (tmp_path / "a.csv").write_text("review,stars\n很好很好,5\n太差太差,1\n还好还好,5\n", encoding="utf-8")
    found = find_records(str(tmp_path / "a.csv"))
    assert found.data == {"train": str(tmp_path / "a.csv"), "text_column": "review", "label_column": "stars"}
    assert [document.label for document in found.documents] == ["5", "1", "5"]


def test_running_text_is_for_a_language_model(tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("一\n" * 100, encoding="utf-8")
    for source in (tmp_path / "texts", tmp_path / "texts/a.txt"):
        found = find_records(str(source))
        assert (found.task, found.data) == (TEXT, {"train": str(source)})
        assert sum(len(document.text) for document in found.documents) == 200


def test_questions_are_texts_whose_answer_is_marked(tmp_path):
    for document in find_records(str(write_questions(tmp_path / "a.jsonl", 5))).documents:
        for span in document.spans or ():
            assert document.text[span.start : span.end]
            assert span.start > document.text.index("\n")


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.csv", "text,label\n", {}, "a.csv: the file holds no document"),
        ("a.csv", "", {}, "a.csv: the file holds no document"),
        ("a.jsonl", "", {}, "a.jsonl: the file holds no document"),
        ("a.txt", "", {}, "there is no text in it"),
        ("a.csv", "text\nhello\nworld\n", {"task": CLASSES}, "classification needs a label.*'text'.*leave --task"),
        ("a.conll", "去 O\n\n", {"task": CLASSES}, "a.conll:1: --task sequence-classification: no label is given"),
        ("a.csv", "text,label\nhello,b\n", {"task": TEXT}, "language-modelling needs a .txt file"),
        ("a.csv", "text,label\nhello,b\n", {"task": "labelling"}, "--task labelling: expected one of token-class"),
        ("a.txt", "hello", {"task": CLASSES}, "no label is given for this record"),
        ("a.json", '{"data": []}', {"task": CLASSES}, "this is questions, for question-answering"),
        ("a.xyz", "hello", {}, "the suffix does not tell the format"),
    ],
)  # fmt: skip
def test_what_teaches_no_task_is_an_error(tmp_path, name, content, options, message):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ReformerError, match=message):
        list(find_records(str(tmp_path / name), **options).documents)


def test_mixed_records_are_one_error_at_the_first_other_one(tmp_path):
    mixed = _jsonl(tmp_path / "a.jsonl", SPANS, SPANS, {"text": "好", "label": "a"})
    with pytest.raises(DataError, match=r"a.jsonl:3: .*no entities are marked .*and the 2 before it have some"):
        list(find_records(mixed).documents)
    mixed = _jsonl(tmp_path / "b.jsonl", {"text": "好", "label": "a"}, {"text": "坏"})
    with pytest.raises(DataError, match=r"b.jsonl:2: .*no label is given .*and the 1 before it"):
        list(find_records(mixed).documents)


def test_questions_without_answers_are_an_error(tmp_path):
    with pytest.raises(DataError, match=r"a.jsonl:1: nothing says which answer"):
        list(find_records(_jsonl(tmp_path / "a.jsonl", {"question": "a?", "context": "b"})).documents)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.conll", {"label_column": "label"}),
        ("a.txt", {"text_column": "text"}),
        ("a.json", {"format": "jsonl"}),
        ("", {"text_column": "text"}),
        ("index:people-daily", {"label_column": "label"}),
    ],
)
def test_options_that_a_source_has_no_use_for_are_refused(name, options, tmp_path):
    source = name if name.startswith("index:") else str(tmp_path / name)
    if name and not name.startswith("index:"):
        (tmp_path / name).write_text("x\n")
    with pytest.raises(ReformerError, match=r"--(text-column|label-column|format) would have no effect"):
        find_records(source, **options)


def test_files_of_annotation_tools_have_entities(tmp_path):
    """Their fields tell it, also where a field is called label, and in a list in .json."""
    texts = {
        "a.jsonl": '{"id": 1, "text": "去北京", "label": [[1, 3, "LOC"]]}',
        "b.json": '[{"data": {"text": "去北京"}, "annotations": [{"result": ['
        '{"type": "labels", "value": {"start": 1, "end": 3, "labels": ["LOC"]}}]}]}]',
        "c.jsonl": '{"tokens": ["去", "北"], "ner_tags": ["O", "B-LOC"]}',
        "d.conllu": "\t".join(["1", "北京", *"_______", "NER=B-LOC"]) + "\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        found = find_records(str(tmp_path / name))
        assert (found.task, len(list(found.documents))) == (ENTITIES, 1)
        assert found.data == {"train": str(tmp_path / name)}


TEXTS = [f"江泽民在北京第{number}次" for number in range(12)]
NONE_MARKED = {
    "label-studio": [{"data": {"text": text}, "annotations": []} for text in TEXTS],
    "label-studio-empty": [{"data": {"text": text}, "annotations": [{"result": []}]} for text in TEXTS],
    "doccano": [{"id": 1, "text": text, "label": []} for text in TEXTS],
    "spacy": [[text, {"entities": []}] for text in TEXTS],
    "tokens": [{"tokens": list(text), "ner_tags": ["O"] * len(text)} for text in TEXTS],
    "texts": [{"text": text} for text in TEXTS],
}
NOTHING_COUNTS = {
    "rejected.jsonl": [{"text": text, "spans": [], "answer": "reject"} for text in TEXTS],
    "ignored.jsonl": [{"text": text, "answer": "ignore"} for text in TEXTS],
    "cancelled.json": [{"data": {"text": text}, "annotations": [{"was_cancelled": True}]} for text in TEXTS],
}


def _written(path, records):
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    path.write_text("\n".join(lines) if path.suffix == ".jsonl" else f"[{','.join(lines)}]", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", NONE_MARKED)
def test_an_export_in_which_nothing_is_marked_is_told_as_that(tmp_path, name):
    file = _written(tmp_path / "a.json", NONE_MARKED[name])
    with pytest.raises(DataError, match="nothing is labelled yet: no text has an entity or a label; label the texts"):
        find_records(file)
    assert find_records(file, task=MASKED).task == MASKED


@pytest.mark.parametrize("name", NOTHING_COUNTS)
def test_an_export_of_which_nothing_counts_is_told_as_that(tmp_path, name):
    with pytest.raises(DataError, match="no record counts: the annotator rejected, ignored or skipped each"):
        find_records(_written(tmp_path / name, NOTHING_COUNTS[name]))


def test_classes_stand_in_one_list_too(tmp_path):
    choices = [{"result": [{"type": "choices", "value": {"choices": [name]}}]} for name in "ab"]
    records = [{"data": {"text": text}, "annotations": [choices[number % 2]]} for number, text in enumerate(TEXTS)]
    found = find_records(_written(tmp_path / "a.json", records))
    assert (found.task, {document.label for document in found.documents}) == (CLASSES, {"a", "b"})


@pytest.mark.parametrize(
    ("lines", "form"),
    [
        ("王\tB-PER\n明\tI-PER\n在\tO\n", "CoNLL, .*; give --format conll, or --task language-modelling"),
        ("__label__pos 好\n__label__neg 坏\n", "fastText, .*; give --format fasttext"),
        ('{"text": "好"}\n{"text": "坏"}\n', "JSONL, .*; give --format jsonl"),
        ("体育\t球赛开始\n财经\t股市上涨\n", "a table, .*; give --format tsv --no-header"),
    ],
)
def test_records_in_a_text_are_no_running_text_unasked(tmp_path, lines, form):
    (tmp_path / "a.txt").write_text(lines, encoding="utf-8")
    with pytest.raises(DataError, match=f"a.txt:1: the lines look like {form}"):
        find_records(str(tmp_path / "a.txt"))
    assert find_records(str(tmp_path / "a.txt"), task=TEXT).task == TEXT
