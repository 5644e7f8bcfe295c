import pytest

from reformer.data import Span


def test_labels_spans_and_ids(read):
    found = read(
        "a.jsonl",
        '{"text": "北京", "label": "x", "id": "one"}\n\n'
        '{"text": "去北京", "spans": [{"start": 1, "end": 3, "label": "LOC"}], "id": 7}\n'
        '{"text": "x", "spans": [], "label": 3}\n{"text": "y"}\n',
    )
    assert [(d.text, d.id, d.label, d.spans) for d in found.documents] == [
        ("北京", "one", "x", None),
        ("去北京", "7", None, (Span(1, 3, "LOC"),)),
        ("x", "a.jsonl:4", "3", ()),
        ("y", "a.jsonl:5", None, None),
    ]


def test_fields_are_chosen(read):
    found = read("a.jsonl", '{"body": "one", "class": "x"}', text_column="body", label_column="class")
    assert [(document.text, document.label) for document in found.documents] == [("one", "x")]
    assert read("a.jsonl", '{"text": "one", "label": []}', label_column=None).texts == ["one"]


def test_spans_are_put_in_order(read):
    spans = '[{"start": 2, "end": 3, "label": "B"}, {"start": 0, "end": 2, "label": "A"}]'
    assert read("a.jsonl", f'{{"text": "abc", "spans": {spans}}}').documents[0].spans == (
        Span(0, 2, "A"),
        Span(2, 3, "B"),
    )


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ('{"text": "a"', "broken JSON (Expecting ',' delimiter at column"),
        ("[1]", "a JSON array where an object should be"),
        ("[" * 100_000, "JSON"),
        ('{"txt": "a"}', "there is no field 'text'; the fields are 'txt'"),
        ('{"text": 1}', "the field 'text' is a JSON number"),
        ('{"text": null}', "the field 'text' is a JSON null"),
        ('{"text": " \\n"}', "empty text"),
        ('{"text": "a", "label": ""}', "the field 'label' is an empty string"),
        ('{"text": "a", "label": {"a": 1}}', "the field 'label' is a JSON object"),
        ('{"text": "a", "label": 1.5}', "the field 'label' is a JSON number"),
        ('{"text": "a\\ud800"}', "character 1 of the text is half of a surrogate pair"),
        ('{"text": "a", "spans": {}}', "the field 'spans' is a JSON object"),
        ('{"text": "a", "spans": [1]}', "span 1 has not the fields"),
        ('{"text": "a", "spans": [{"start": 0, "end": 1}]}', "span 1 has not the fields"),
        ('{"text": "a", "spans": [{"start": 0, "end": 1.5, "label": "A"}]}', "the 'end' of span 1 is 1.5, no integer"),
        ('{"text": "a", "spans": [{"start": "0", "end": 1, "label": "A"}]}', "the 'start' of span 1 is \"0\""),
        ('{"text": "a", "spans": [{"start": 0, "end": 2, "label": "A"}]}', "span 0:2 (A) is not inside the text of 1"),
        ('{"text": "a", "spans": [{"start": 1, "end": 1, "label": "A"}]}', "span 1:1 (A) is empty"),
        (
            '{"text": "abc", "spans": [{"start": 0, "end": 2, "label": "A"}, {"start": 1, "end": 3, "label": "B"}]}',
            "spans 0:2 (A) and 1:3 (B) overlap",
        ),
    ],
)
def test_a_bad_record_is_told_and_passed_over(read, record, problem):
    found = read("a.jsonl", f'{record}\n{{"text": "two"}}\n')
    assert found.texts == ["two"]
    [error] = found.errors
    assert error.startswith(f"a.jsonl:1: {problem}")
    assert "; " in error


@pytest.mark.parametrize(("value", "label"), [("1", "1"), ("1.0", "1"), ("true", "true"), ('" pos\\t"', "pos")])
def test_a_label_is_text_without_blanks_around_it(read, value, label):
    assert [each.label for each in read("a.jsonl", f'{{"text": "好", "label": {value}}}').documents] == [label]


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ('"id": "a\\ud800"', "character 1 of the id"),
        ('"label": "\\ud800"', "character 0 of the label"),
        ('"label": ["b", "\\ud800"]', "character 0 of the label"),
        ('"spans": [[0, 1, "\\ud800"]]', "character 0 of the label of the span 0:1"),
    ],
)
def test_half_a_surrogate_pair_is_no_name(read, fields, what):
    found = read("a.jsonl", f'{{"text": "好", {fields}}}\n{{"text": "坏"}}\n')
    assert found.texts == ["坏"]
    assert f"a.jsonl:1: {what} is half of a surrogate pair" in found.errors[0]


def test_another_field_that_answers_cannot_carry_is_named(read):
    content = '{"text": "好", "note": {"by": "\\ud800"}}\n'
    assert read("a.jsonl", content).texts == ["好"]
    [error] = read("a.jsonl", content, keeps_others=True).errors
    assert error.startswith("a.jsonl:1: character 8 of the JSON of the field 'note' is half of a surrogate pair")
