"""Check of data: every fault with its line, at once, and what is no fault but should be known."""

import json

import pytest

from reformer.insight.data_check import check_data
from reformer.insight.page import page
from reformer.recipe import Recipe
from reformer.tasks.recipe_checks import checked_recipe

GOOD = "这是第{}个文本，早餐很好，房间干净"


def _lines(report):
    return [(fault.line, fault.problem) for fault in report.faults]


def _notes(report):
    return "\n".join(report.notes)


def _table(path, rows):
    path.write_text("\n".join(["text,label", *rows, ""]), encoding="utf-8")
    return str(path)


def _recipe(train, task="sequence-classification", model=None, **data) -> Recipe:
    tables = {"data": {"train": train, **data}, "training": {"task": task, "epochs": 1}, "model": model or {}}
    return checked_recipe(tables)


def test_every_fault_of_a_table_is_told_at_once(tmp_path):
    rows = ["好,pos", "坏,", "差", ",neg", "好,neg", '"x"y,neg', "还行,pos"]
    report = check_data(_table(tmp_path / "a.csv", rows))
    assert [line for line, _ in _lines(report)] == [3, 4, 5, 6, 7]
    assert report.records == 3
    assert "again, there with the label 'pos', and here 'neg'" in dict(_lines(report))[6]


def test_a_sound_file_has_no_fault_and_its_figures(tmp_path):
    report = check_data(
        _table(tmp_path / "a.csv", [f"{GOOD.format(chr(97 + n) * 9)},{'ab'[n % 2]}" for n in range(12)])
    )
    assert not report.faults
    assert (report.task, report.records, report.labels) == ("sequence-classification", 12, {"a": 6, "b": 6})
    assert report.lengths["longest"] == len(GOOD) - 2 + 9


def test_duplicates_near_duplicates_ids_and_rare_labels_are_noted(tmp_path):
    rows = [
        f"1,{GOOD.format(1)},a",
        f"2,{GOOD.format(1)},a",
        f"2,{GOOD.format(1)}！,a",
        "3,坏\ufffd,b",
        *(f"{number},{chr(0x4E00 + number) * 3},a" for number in range(10, 60)),
    ]
    (tmp_path / "a.csv").write_text("\n".join(["id,text,label", *rows]), encoding="utf-8")
    report = check_data(str(tmp_path / "a.csv"), text_column="text", label_column="label")
    notes = _notes(report)
    assert not report.faults
    assert "1 of 54 texts stand more than once" in notes
    assert "1 id stands more than once, such as '2'" in notes
    assert "1 text is nearly the same as an earlier one" in notes
    assert "a.csv:2 and line 4" in notes
    assert "1 text has characters of a decoding that failed (U+FFFD or 0): line 5" in notes
    assert "labels with fewer than 5 examples: b (1)" in notes
    assert "a occurs 53 times as often as b" in notes


def test_spans_and_missing_spans_are_faults_with_their_lines(tmp_path):
    records = [
        {"text": "王明在北京", "spans": [{"start": 0, "end": 2, "label": "PER"}]},
        {"text": "王明在北京", "spans": [{"start": 0, "end": 9, "label": "PER"}]},
        {"text": "李娜在上海"},
        {"text": "王明在北京", "spans": [{"start": 3, "end": 5, "label": "LOC"}]},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    report = check_data(str(tmp_path / "a.jsonl"))
    assert report.task == "token-classification"
    assert [line for line, _ in _lines(report)] == [2, 3, 4]
    assert "the record has no spans" in _lines(report)[1][1]
    assert "with other entities" in _lines(report)[2][1]


@pytest.mark.parametrize(
    ("tags", "lines"),
    [
        (["B-PER", "I-PER", "O"], []),
        (["B-PER", "I-LOC", "O", "I-PER"], [2, 4]),
        # IOB1, in which entities begin with I-.
        (["I-PER", "I-PER", "O", "I-LOC", "B-LOC"], []),
    ],
)
def test_broken_sequences_of_tags_are_told(tmp_path, tags, lines):
    text = "".join(f"{word}\t{tag}\n" for word, tag in zip("王明去北京", tags, strict=False))
    (tmp_path / "a.conll").write_text(text, encoding="utf-8")
    assert [line for line, _ in _lines(check_data(str(tmp_path / "a.conll")))] == lines


def test_questions_are_checked(tmp_path):
    good = {"question": "在哪里？", "context": "王明在北京", "answers": {"text": ["北京"], "answer_start": [3]}}
    bad = good | {"answers": {"text": ["北京"], "answer_start": [2]}}
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, [good, bad, bad])), encoding="utf-8")
    report = check_data(str(tmp_path / "q.jsonl"))
    assert (report.task, report.records) == ("question-answering", 1)
    assert [line for line, _ in _lines(report)] == [2, 3]


def test_texts_of_one_part_in_another_are_faults_of_the_part_that_measures(tmp_path):
    train = _table(tmp_path / "train.csv", ["好,pos", "坏,neg", "差,neg"])
    test = _table(tmp_path / "test.csv", ["新,pos", "坏,neg", "旧,other"])
    recipe = _recipe(train, test=test, validation=test)
    for checked in (train, test):
        report = check_data(checked, recipe)
        assert {(fault.path, fault.line) for fault in report.faults} == {(test, 3)}
    assert "the training part has no 'other'" in _notes(check_data(test, recipe))


def test_unknown_characters_and_texts_that_are_too_long_are_told(tmp_path):
    train = _table(tmp_path / "train.csv", ["好好,pos", "坏,neg"])
    test = _table(tmp_path / "test.csv", ["好龘,pos", f"{'好' * 70},neg"])
    report = check_data(test, _recipe(train, test=test, model={"max_position_embeddings": 64}))
    assert "1 of 72 characters are none that the tokenizer knows, 1 different ones: 龘" in _notes(report)
    assert _lines(report) == [(3, "the text has 70 tokens, and the model takes at most 64")]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [("a.csv", "body,klass\n好,b\n", "no column looks like a label"), ("a.csv", "", "holds no document")],
)
def test_what_is_wrong_with_the_whole_file_is_a_fault(tmp_path, name, content, problem):
    (tmp_path / name).write_text(content, encoding="utf-8")
    [fault] = check_data(str(tmp_path / name)).faults
    assert problem in fault.problem


def test_text_of_the_data_is_text_in_the_page(tmp_path):
    report = check_data(
        _table(tmp_path / "a.csv", ["好,<b>&", "坏,<b>&", "差,\x1b[31m", ",x"]), task="sequence-classification"
    )
    made = page(report)
    assert "&lt;b&gt;&amp;" in made
    assert "<b>" not in made
    assert "\x1b" not in made
    assert "empty text" in made
