"""One reading of spans: those of files, and those of a model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reformer.data import Span, decode_spans
from reformer.data.graphemes import widened_to_graphemes
from reformer.data.notes import DataWarning, Notes
from reformer.data.spans import MarkedSpan, SpanError, SpanReading, column_names, fitted_span, read_spans
from reformer.errors import ReformerError

FAMILY, WAVE = "👩\u200d👩\u200d👧", "👋🏽"


def found(text, *spans, notes=None, **reading):
    marked = [MarkedSpan(*span) for span in spans]
    return [
        (text[span.start : span.end], span.start, span.end)
        for span in read_spans(text, marked, SpanReading(**reading), notes or Notes(), 7)
    ]


def told(notes, path="a.jsonl"):
    with pytest.warns(DataWarning) as warned:
        notes.tell(path)
    return [str(each.message) for each in warned]


@pytest.mark.parametrize("blank", [" ", "\t", "\n", "\u3000", "\u00a0"])
def test_white_space_at_the_ends_is_of_no_entity(blank):
    notes = Notes()
    assert found(f"人:{blank}李敏{blank}。", (2, 6, "PER"), notes=notes) == [("李敏", 3, 5)]
    assert told(notes) == ["a.jsonl: spans trimmed of white space at their ends: 1, first at line 7"]


def test_gold_and_predicted_spans_are_fitted_alike():
    text = " 李敏 x"
    [predicted] = decode_spans(["B-PER", "I-PER", "I-PER", "I-PER", "O"], [(n, n + 1) for n in range(5)], text)
    [(_, start, end)] = found(text, (0, 4, "PER"))
    assert (predicted.start, predicted.end) == (start, end) == (1, 3)


def test_a_span_of_nothing_but_white_space_is_an_error():
    with pytest.raises(SpanError, match=r"the span 1:3 \(LOC\) is nothing but white space"):
        found("去 \t北京", (1, 3, "LOC"))


# The text, the offsets as they are counted wrongly, the span's own text, and how they are counted.
SHIFTS = [
    ("👍北京欢迎", 2, 4, "北京", "UTF-16 units"),
    ("在北京", 3, 9, "北京", "bytes of UTF-8"),
    ("在北京欢迎", 1, 2, "北京", "with the end included"),
    ("去过北京欢迎", 3, 5, "北京", "counted from 1"),
    ("去过北京欢迎", 3, 4, "北京", "counted from 1 with the end included"),
    ("去过北京欢迎", 1, 3, "北京", "that begin one too early"),
    ("a\r\nb\r\n北京", 4, 6, "北京", "that count a line end as one character"),
    ("很远很远的地方有北京", 0, 2, "北京", None),
]


@pytest.mark.parametrize(("text", "start", "end", "own", "name"), SHIFTS)
def test_a_span_that_its_own_text_contradicts_is_named_with_the_right_place(text, start, end, own, name):
    right = text.index(own)
    with pytest.raises(SpanError) as raised:
        found(text, (start, end, "LOC", own))
    assert f"the text of the span {start}:{end} (LOC) is '北京', and there stands" in raised.value.problem
    assert f"'北京' stands at {right}:{right + 2}" in raised.value.problem
    assert name is None or name in raised.value.problem
    assert "--repair" in raised.value.remedy


@pytest.mark.parametrize(("text", "start", "end", "own", "name"), SHIFTS)
def test_repair_moves_it_and_says_so(text, start, end, own, name):
    notes, right = Notes(), text.index(own)
    assert found(text, (start, end, "LOC", own), repair=True, notes=notes) == [("北京", right, right + 2)]
    assert told(notes) == ["a.jsonl: spans moved to where their texts stand: 1, first at line 7"]


@pytest.mark.parametrize(
    ("text", "own", "problem"),
    [
        ("上海上海上海", "北京", "this stands nowhere in the text"),
        ("在那遥远的地方北京北京", "北京", "this stands at 2 places"),
    ],
)
def test_what_cannot_be_placed_is_no_ones_guess(text, own, problem):
    with pytest.raises(SpanError, match=problem):
        found(text, (0, 2, "LOC", own), repair=True)


def test_white_space_and_composition_are_no_contradiction():
    assert found("Jose\u0301 \n Perez", (0, 13, "PER", "Jos\u00e9 Perez")) == [("Jose\u0301 \n Perez", 0, 13)]
    assert found("在 北京", (1, 4, "LOC", "北京")) == [("北京", 2, 4)]


@pytest.mark.parametrize(("end", "units"), [(4, "UTF-16 units"), (10, "bytes of UTF-8")])
def test_an_end_behind_the_text_names_the_units(end, units):
    with pytest.raises(SpanError, match=rf"not inside the text of 3 characters \(offsets in {units}\?\)"):
        found("👍北京", (2, end, "LOC"))


@pytest.mark.parametrize(
    ("text", "cut", "whole"),
    [
        ("Jose\u0301 x", (0, 4), (0, 5)),
        (f"a{FAMILY}b", (1, 2), (1, 6)),
        (f"{WAVE}b", (0, 1), (0, 2)),
        ("🇩🇪🇫🇷", (1, 2), (0, 2)),
        ("🇩🇪🇫🇷", (2, 3), (2, 4)),
        ("नमस्ते", (0, 3), (0, 6)),
        ("\u1100\u1161\u11a8", (0, 1), (0, 3)),
        ("a\u0301b\u0301", (1, 3), (0, 4)),
    ],
)
def test_a_grapheme_is_not_cut(text, cut, whole):
    notes = Notes()
    assert found(text, (*cut, "X"), notes=notes) == [(text[slice(*whole)], *whole)]
    assert "widened to whole characters" in told(notes)[0]


@pytest.mark.parametrize("text", ["北京", "Jose", "Jos\u00e9", "🇩🇪🇫🇷", FAMILY, "한국", "a\n"])
def test_a_span_of_whole_graphemes_stays(text):
    assert widened_to_graphemes(text, 0, len(text)) == (0, len(text))
    assert widened_to_graphemes("🇩🇪🇫🇷", 2, 4) == (2, 4)


def test_a_predicted_grapheme_belongs_to_the_first_of_two():
    tags = ["B-X", "B-Y", "I-Y"]
    assert decode_spans(tags, [(0, 1), (1, 2), (2, 3)], "e\u0301b") == [Span(0, 2, "X"), Span(2, 3, "Y")]
    assert decode_spans(tags[:2], [(0, 1), (1, 2)], "e\u0301") == [Span(0, 2, "X")]


def test_a_span_that_stands_there_twice_is_one():
    notes = Notes()
    assert found("北京", (0, 2, "LOC"), (0, 2, "LOC "), notes=notes) == [("北京", 0, 2)]
    assert "read once" in told(notes)[0]


@pytest.mark.parametrize(
    ("how", "kept"), [("longest", [(0, 4)]), ("first", [(0, 2)]), ("keep", [(0, 2), (0, 4), (2, 5)])]
)
def test_overlap_by_choice(how, kept):
    notes = Notes()
    spans = [(0, 2, "LOC"), (0, 4, "ORG"), (2, 5, "X")]
    expected = [*kept, (2, 5)] if how == "first" else kept
    assert [place for _, *place in found("北京大学的", *spans, on_overlap=how, notes=notes)] == list(
        map(list, expected)
    )
    assert how == "keep" or "left out that lay over another" in told(notes)[0]


def test_overlap_is_an_error_otherwise():
    with pytest.raises(SpanError, match=r"0:2 \(LOC\) and 0:4 \(ORG\) overlap") as raised:
        found("北京大学", (0, 2, "LOC"), (0, 4, "ORG"))
    assert "--on-overlap longest or first" in raised.value.remedy


@given(st.text("a \u0301\u200d👩🇩🇪\n가\u1100", min_size=1, max_size=12), st.data())
def test_fitting_twice_changes_nothing(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    once = fitted_span(text, start, end)
    assert once is None or fitted_span(text, *once) == once


def test_columns_by_name():
    assert column_names("word, _,tag") == ("word", "_", "tag")
    assert column_names(None) is None
    for wrong in ("tag", "word,word", "word,pos"):
        with pytest.raises(ReformerError, match="expected one word"):
            column_names(wrong)
