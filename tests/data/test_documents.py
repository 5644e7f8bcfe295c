import pytest
from hypothesis import given
from hypothesis import strategies as st

from reformer.data import DataError, Document, Span, drop_duplicates, join_documents, span_problem


def entities(document):
    return [(document.text[span.start : span.end], span.label) for span in document.spans]


@st.composite
def documents(draw):
    """A document with spans of at most 4 characters, some of them touching."""
    text = draw(st.text("京海。\n ab😀", min_size=1, max_size=40))
    spans, start = [], 0
    while start < len(text):
        size = draw(st.integers(1, 4))
        end = min(len(text), start + size)
        if draw(st.booleans()):
            spans.append(Span(start, end, draw(st.sampled_from(["LOC", "PER"]))))
        start = end
    return Document(text, "d", spans=tuple(spans), source="f:1")


@given(st.lists(documents(), max_size=6), st.integers(4, 60))
def test_joining_and_splitting_keep_every_entity_and_the_length(originals, max_length):
    joined = list(join_documents(originals, max_length))
    assert all(0 < len(document.text) <= max_length for document in joined)
    assert all(span_problem(document.text, document.spans) is None for document in joined)
    assert [found for document in joined for found in entities(document)] == [
        found for document in originals for found in entities(document)
    ]


@given(documents(), st.integers(4, 10))
def test_pieces_are_the_text_again_and_name_their_place(original, max_length):
    pieces = list(join_documents([original], max_length))
    assert "".join(piece.text for piece in pieces) == original.text
    if len(pieces) > 1:
        for piece in pieces:
            start, end = map(int, piece.id.removeprefix("d[").removesuffix("]").split(":"))
            assert original.text[start:end] == piece.text


def test_neighbours_fill_a_text_up_to_the_length():
    parts = [Document(text, text, source=f"f:{number}") for number, text in enumerate(["aa", "bb", "cc", "dd"], 1)]
    joined = list(join_documents(parts, 5, separator=" "))
    assert [document.text for document in joined] == ["aa bb", "cc dd"]
    assert [document.id for document in joined] == ["aa..bb", "cc..dd"]
    assert [document.source for document in joined] == ["f:1", "f:3"]


def test_a_long_text_is_cut_after_a_sentence():
    pieces = list(join_documents([Document("一二三。四五六七八九", "d")], 6))
    assert [piece.text for piece in pieces] == ["一二三。", "四五六七八九"]


def test_a_cut_goes_around_an_entity():
    original = Document("一二三四五六七", "d", spans=(Span(2, 5, "LOC"),))
    pieces = list(join_documents([original], 4))
    assert [piece.text for piece in pieces] == ["一二", "三四五六", "七"]
    assert [entities(piece) for piece in pieces] == [[], [("三四五", "LOC")], []]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Document("a", "a", label="x"), Document("b", "b", label="x")),
        (Document("a", "a", spans=()), Document("b", "b")),
        (Document("a", "a", source="f:1"), Document("b", "b", source="g:1")),
    ],
    ids=["labels", "spans known and unknown", "two files"],
)
def test_what_does_not_belong_together_is_not_joined(first, second):
    assert list(join_documents([first, second], 100)) == [first, second]


def test_an_entity_over_the_length_is_an_error_with_its_place():
    original = Document("一二三四五六", "d", spans=(Span(0, 5, "LOC"),), source="f.jsonl:9")
    with pytest.raises(DataError, match=r"f\.jsonl:9: the entity 0:5 \(LOC\) has 5 characters.*raise the maximum"):
        list(join_documents([original], 4))


def test_a_length_below_one_is_refused():
    with pytest.raises(ValueError, match="max_length is 0"):
        list(join_documents([], 0))


def test_joining_reads_no_further_than_it_must():
    def endless():
        while True:
            yield Document("abc", "d")

    assert next(join_documents(endless(), 10)).text == "abc\nabc"


def test_the_first_of_equal_texts_stays():
    found = drop_duplicates([Document("a", "1"), Document("b", "2"), Document("a", "3")])
    assert [document.id for document in found] == ["1", "2"]


@pytest.mark.parametrize(
    ("spans", "problem"),
    [
        ([Span(0, 2, "A"), Span(2, 3, "A")], None),
        ([Span(0, 2, "A"), Span(1, 3, "B")], "overlap"),
        ([Span(-1, 2, "A")], "not inside"),
        ([Span(0, 4, "A")], "not inside"),
        ([Span(1, 1, "A")], "empty"),
    ],
)
def test_span_problem(spans, problem):
    found = span_problem("abc", spans)
    assert found is None if problem is None else problem in found
