"""The columns of texts and labels."""

import pytest

from reformer.advice.columns import find_columns
from reformer.data import DataError
from reformer.data.notes import DataWarning


def _rows(**columns: list) -> list[dict]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


LONG = [f"a text of some length, number {number}" for number in range(8)]
TWO = ["up", "down"] * 4


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"text": LONG, "label": TWO}, ("text", "label")),
        ({"label": TWO, "id": TWO, "text": LONG}, ("text", "label")),
        ({"Sentiment": TWO, "Review": LONG}, ("Review", "Sentiment")),
        ({"评论": LONG, "标签": TWO}, ("评论", "标签")),
        ({"stars": [1, 2] * 4, "what_they_said": LONG}, ("what_they_said", "stars")),
        ({"user": [f"u{n}" for n in range(8)], "said": LONG, "mood": TWO}, ("said", "mood")),
        ({"said": LONG}, ("said", None)),
    ],
)
def test_columns_are_found_by_name_and_by_their_values(columns, expected):
    found = find_columns("a.csv", _rows(**columns), None, None)
    assert (found.text, found.label, found.are_pairs) == (*expected, False)


def test_columns_that_are_named_are_taken():
    rows = _rows(text=LONG, label=TWO, other=TWO, note=LONG)
    found = find_columns("a.csv", rows, "note", "other")
    assert (found.text, found.label) == ("note", "other")


def test_no_label_is_looked_for_where_none_is_wanted():
    assert find_columns("a.csv", _rows(text=LONG, a=TWO, b=TWO), None, None, with_label=False).label is None


def test_pairs_are_two_columns_of_texts():
    found = find_columns("a.csv", _rows(source=LONG, target=LONG), None, None)
    assert (found.text, found.label, found.are_pairs) == ("source", "target", True)
    summaries = [text * 3 for text in LONG]
    assert find_columns("a.csv", _rows(text=summaries, summary=summaries), "text", "summary").are_pairs


@pytest.mark.parametrize(
    ("columns", "given", "message"),
    [
        ({"text": LONG, "a": TWO, "b": TWO}, {}, "'a', 'b' could each be the label; the columns are 'text', 'a', 'b'"),
        ({"text": LONG, "a": LONG, "b": LONG}, {}, "no column looks like a label.*--label-column"),
        (
            {"text": LONG, "label": TWO},
            {"text": "words"},
            "there is no column 'words'; the columns are 'text', 'label'",
        ),
        ({"text": LONG, "label": TWO}, {"label": "kind"}, "there is no column 'kind'"),
        ({"id": TWO}, {}, "no column has texts.*--text-column"),
        ({"a nice text": LONG, "up": TWO}, {}, "names no columns: its cell 'up' is a value.*text,label"),
    ],
)
def test_columns_that_nothing_tells_are_an_error(columns, given, message):
    with pytest.raises(DataError, match=message):
        find_columns("a.csv", _rows(**columns), given.get("text"), given.get("label"))


@pytest.mark.parametrize("columns", [{"so it began": LONG, "a": TWO, "b": TWO}, {"so it began": LONG, "a": LONG}])
def test_the_columns_of_a_table_may_be_its_first_row(columns):
    hint = r"if the first line is a row, give --no-header \(data.header = false in a recipe\)"
    with pytest.raises(DataError, match=hint):
        find_columns("a.csv", _rows(**columns), None, None, has_header=True)
    with pytest.raises(DataError) as error:
        find_columns("a.jsonl", _rows(**columns), None, None)
    assert "--no-header" not in str(error.value)


def test_a_text_column_that_only_its_values_tell_is_named():
    told = "the texts are read from the column 'so it began', as the first line calls it; if the first line is a row"
    with pytest.warns(DataWarning, match=told):
        assert find_columns("a.csv", _rows(**{"so it began": LONG}), None, None, has_header=True).text == "so it began"


@pytest.mark.parametrize("columns", [{"said": LONG, "label": TWO}, {"said": LONG, "id": LONG}])
def test_a_first_line_with_a_usual_name_is_no_row(columns):
    assert find_columns("a.csv", _rows(**columns), None, None, has_header=True).text == "said"


def test_rows_that_are_words_are_no_texts():
    rows = _rows(Word=["in", "Rom", "und"], POS=["P", "N", "C"], Tag=["O", "B-geo", "O"])
    with pytest.raises(DataError, match=r"words with the tags of entities \('Tag'\).*name it \.conll"):
        find_columns("a.csv", rows, None, None)
    assert find_columns("a.csv", _rows(text=LONG, word=LONG, label=TWO), None, None).label == "label"
