"""Questions from files: JSONL and SQuAD's own JSON, and what is wrong with them."""

import gzip
import json

import pytest

from reformer.data import DataError, read_questions
from reformer.data.notes import DataWarning

TEXT = "鲁迅生于绍兴。他是周建人的哥哥。"
GOOD = {"id": "a", "question": "鲁迅生于哪里？", "context": TEXT, "answers": {"text": ["绍兴"], "answer_start": [4]}}


def _write(path, *records):
    lines = (each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in records)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def _without(field):
    return {name: value for name, value in GOOD.items() if name != field}


def test_answers_are_places_in_the_raw_text(tmp_path):
    listed = GOOD | {"id": 7, "answers": [{"text": "绍兴", "answer_start": 4}, {"text": "生于绍兴", "answer_start": 2}]}
    none = GOOD | {"answers": {"text": [], "answer_start": []}}
    impossible = _without("answers") | {"is_impossible": True}
    path = _write(tmp_path / "q.jsonl", GOOD, "", listed, none, impossible, _without("answers") | {"id": "new"})
    found = list(read_questions(path))
    assert [question.answers for question in found] == [((4, 6),), ((4, 6), (2, 6)), (), (), None]
    assert [question.answer_texts for question in found[:2]] == [["绍兴"], ["绍兴", "生于绍兴"]]
    assert [question.id for question in found] == ["a", "7", "a", "a", "new"]
    assert found[1].source == f"{path}:3"


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_squads_own_json_is_read(tmp_path, suffix):
    asked = {name: GOOD[name] for name in ("id", "question", "answers")}
    whole = {"version": "2.0", "data": [{"title": "t", "paragraphs": [{"context": TEXT, "qas": [asked, asked]}]}]}
    content = json.dumps(whole).encode()
    path = tmp_path / f"dev.json{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    found = list(read_questions(str(path)))
    assert [question.answer_texts for question in found] == [["绍兴"]] * 2
    assert found[1].source == f"{path}: data[0].paragraphs[0].qas[1]"


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("{broken", "broken JSON"),
        ("[1]", "this is no JSON object"),
        (_without("question"), "there is no field 'question'; the fields are 'id', 'context', 'answers'"),
        (GOOD | {"context": " "}, "the field 'context' is empty"),
        (GOOD | {"question": 3}, "the field 'question' is no string"),
        (GOOD | {"id": [1]}, "the field 'id' is neither"),
        (GOOD | {"answers": {"text": ["绍兴"], "answer_start": []}}, "no texts with as many places"),
        (GOOD | {"answers": {"text": [""], "answer_start": [4]}}, "an answer is empty; give its text, or empty lists"),
        (GOOD | {"answers": {"text": ["绍兴"], "answer_start": ["4"]}}, "'绍兴' is no whole number"),
        (
            GOOD | {"answers": {"text": ["绍兴"], "answer_start": [5]}},
            "the answer '绍兴' is not in the text at 5, where '兴。' stands; it stands at 4",
        ),
        (GOOD | {"answers": {"text": ["北京"], "answer_start": [99]}}, "it is not in the text at all"),
        (GOOD | {"is_impossible": True}, '"is_impossible" is true, and "answers" names an answer'),
        (GOOD | {"is_impossible": False, "answers": []}, '"is_impossible" is false, and "answers" names none'),
        (GOOD | {"question": "\ud800"}, "character 0 of the field 'question' is half of a surrogate pair"),
        (GOOD | {"id": "\ud800"}, "character 0 of the field 'id' is half of a surrogate pair"),
    ],
)
def test_a_bad_record_is_named_and_the_next_one_is_read(tmp_path, record, message):
    record = record if isinstance(record, str) else json.dumps(record)
    path = _write(tmp_path / "q.jsonl", GOOD, record, GOOD)
    with pytest.raises(DataError) as caught:
        list(read_questions(path))
    assert str(caught.value).startswith(f"{path}:2: ")
    assert message in str(caught.value)
    reported = []
    assert len(list(read_questions(path, on_error=reported.append))) == 2
    assert [str(error) for error in reported] == [str(caught.value)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.xml", "a,b", "the suffix does not tell the format"),
        ("q.jsonl", "\n", "the file holds no question"),
        ("q.json", "{}", "there is no list of objects 'data'"),
        (
            "q.json",
            '{"data": [{"paragraphs": [{"context": "x"}]}]}',
            r"list of objects 'data\[0\]\.paragraphs\[0\]\.qas'",
        ),
        ("q.json", '{"data": [\n\n{]}', r"q\.json:3: broken JSON"),
    ],
)
def test_a_file_that_holds_no_questions_is_an_error(tmp_path, name, content, message):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        list(read_questions(str(tmp_path / name)))


CONTEXT = "据南京消息，王明在北京。"
FORMS = {
    "cmrc.json": json.dumps(
        [
            {
                "context_id": "T0",
                "context_text": CONTEXT,
                "qas": [{"query_text": "在哪里？", "query_id": "T0_Q0", "answers": ["南京", "南京"]}],
            }
        ]
    ),
    "paragraphs.json": json.dumps(
        {"data": [{"context": CONTEXT, "qas": [{"question": "在哪里？", "id": "T0_Q0", "answers": ["南京"]}]}]}
    ),
    "list.json": json.dumps(
        [{"id": "T0_Q0", "question": "在哪里？", "context": CONTEXT, "answers": {"text": ["南京"]}}]
    ),
    "a.ndjson": json.dumps({"id": "T0_Q0", "question": "在哪里？", "context": CONTEXT, "answer": "南京"}),
    "float.jsonl": json.dumps(
        {"id": "T0_Q0", "question": "在哪里？", "context": CONTEXT, "answer": "南京", "answer_start": 1.0}
    ),
    "a.csv": f"id,question,context,answer,answer_start\nT0_Q0,在哪里？,{CONTEXT},南京,1\n",
    "unplaced.tsv": f"id\tquestion\tcontext\tanswer\nT0_Q0\t在哪里？\t{CONTEXT}\t南京\n",
    "json.csv": f"id;question;context;answers\nT0_Q0;在哪里？;{CONTEXT};"
    + '"[{""text"": ""南京"", ""answer_start"": 1}]"\n',
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_questions(tmp_path, name):
    (tmp_path / name).write_text(FORMS[name], encoding="utf-8")
    [found] = read_questions(str(tmp_path / name))
    assert (found.text, found.id, found.answers, found.answer_texts) == ("在哪里？", "T0_Q0", ((1, 3),), ["南京"])


def test_questions_in_a_table_need_no_answers(tmp_path):
    (tmp_path / "q.csv").write_text("question,context\n在哪里？,据南京消息\n", encoding="utf-8")
    assert [each.answers for each in read_questions(str(tmp_path / "q.csv"))] == [None]
    (tmp_path / "q.csv").write_text("question,context,answer\n在哪里？,据南京消息,\n", encoding="utf-8")
    assert [each.answers for each in read_questions(str(tmp_path / "q.csv"))] == [()]


OFF_BY_ONE = GOOD | {"context": " The Pure Land school.", "answers": {"text": ["Pure Land"], "answer_start": [4]}}


def test_a_wrong_place_is_moved_to_the_only_one_where_that_is_asked_for(tmp_path):
    path = _write(tmp_path / "q.jsonl", OFF_BY_ONE)
    with pytest.raises(DataError, match=r"it stands at 5; .*--repair"):
        list(read_questions(path))
    with pytest.warns(DataWarning, match="answers moved to the only place where they stand: 1"):
        [found] = read_questions(path, repair=True)
    assert found.answer_texts == ["Pure Land"]


def test_a_wrong_place_of_an_answer_that_stands_twice_is_not_moved(tmp_path):
    path = _write(tmp_path / "q.jsonl", GOOD | {"context": "a b a", "answers": {"text": ["a"], "answer_start": [1]}})
    with pytest.raises(DataError, match=r"it stands at 0, 4; count in characters of the context, from 0$"):
        list(read_questions(path, repair=True))


def test_answers_that_are_not_needed_are_not_looked_at(tmp_path):
    path = _write(tmp_path / "q.jsonl", OFF_BY_ONE, GOOD | {"answers": 5}, GOOD | {"is_impossible": True})
    assert [each.answers for each in read_questions(path, with_answers=False)] == [None, None, None]


def test_an_answer_without_a_place_is_the_first_and_that_is_counted(tmp_path):
    path = _write(tmp_path / "q.jsonl", GOOD | {"context": "a b a", "answers": ["a"]})
    with pytest.warns(DataWarning, match="answers without a place stand at several; the first is taken: 1"):
        [found] = read_questions(path)
    assert found.answers == ((0, 1),)


def test_another_field_that_answers_cannot_carry_is_named(tmp_path):
    path = _write(tmp_path / "q.jsonl", json.dumps(GOOD | {"note": ["\ud800"]}))
    assert len(list(read_questions(path))) == 1
    with pytest.raises(DataError, match=r"the JSON of the field 'note' is half of a surrogate pair"):
        list(read_questions(path, keeps_others=True))
