import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.scheme import IOB2, Entities

from reformer.data import (
    IGNORED,
    DataError,
    Span,
    bio_labels,
    byte_tokenizer,
    decode_spans,
    label_id,
    token_tags,
)

LABELS = bio_labels(["PER", "LOC"])
IDS = {label: number for number, label in enumerate(LABELS)}


def tags(spans, offsets):
    return [LABELS[tag] if tag != IGNORED else None for tag in token_tags(spans, offsets, IDS)]


def test_labels_are_sorted_and_told_once():
    assert bio_labels(["PER", "LOC", "PER"]) == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]


def test_a_boundary_inside_a_token_widens_the_span():
    assert tags([Span(1, 5, "LOC")], [(0, 3), (3, 4), (4, 8)]) == ["B-LOC", "I-LOC", "I-LOC"]


def test_a_token_two_spans_meet_in_belongs_to_the_first():
    offsets = [(0, 2), (2, 4)]
    assert tags([Span(0, 1, "LOC"), Span(1, 4, "PER")], offsets) == ["B-LOC", "B-PER"]
    assert tags([Span(0, 1, "LOC"), Span(1, 2, "PER")], offsets) == ["B-LOC", "O"]


def test_touching_spans_each_begin():
    assert tags([Span(0, 1, "LOC"), Span(1, 2, "LOC")], [(0, 1), (1, 2)]) == ["B-LOC", "B-LOC"]


def test_special_tokens_are_ignored():
    assert tags([Span(0, 1, "LOC")], [(0, 0), (0, 1), (0, 0)]) == [None, "B-LOC", None]


def test_bytes_of_one_character_carry_its_tag():
    assert tags([Span(0, 2, "LOC")], [(0, 1), (0, 1), (1, 2), (1, 2)]) == ["B-LOC", "I-LOC", "I-LOC", "I-LOC"]


def test_an_unknown_label_names_the_place_and_the_known_ones():
    with pytest.raises(DataError, match=r"f\.csv:4: the label 'B-GPE' was not seen in training; known are 'B-LOC'"):
        token_tags([Span(0, 1, "GPE")], [(0, 1)], IDS, "f.csv:4")
    with pytest.raises(DataError, match="known are 'neg', 'pos'"):
        label_id("good", {"pos": 0, "neg": 1})


@given(st.text("京é😀a \n", max_size=30), st.data())
def test_spans_come_back_from_their_tags(text, data):
    """Through bytes, the hardest tokens; spans that white space does not begin or end."""
    spans, start = [], 0
    while start < len(text):
        end = min(len(text), start + data.draw(st.integers(1, 4)))
        inside = text[start:end]
        if data.draw(st.booleans()) and inside == inside.strip():
            spans.append(Span(start, end, data.draw(st.sampled_from(["LOC", "PER"]))))
        start = end
    offsets = byte_tokenizer()(text, return_offsets_mapping=True).offset_mapping
    assert decode_spans(tags(spans, offsets), offsets, text) == spans


@given(st.lists(st.sampled_from(LABELS), max_size=12))
def test_decoding_is_the_strict_reading_of_seqeval(sequence):
    offsets = [(number, number + 1) for number in range(len(sequence))]
    [expected] = Entities([sequence], IOB2).entities
    assert [(span.label, span.start, span.end) for span in decode_spans(sequence, offsets, "x" * len(sequence))] == [
        (entity.tag, entity.start, entity.end) for entity in expected
    ]


def test_white_space_at_the_ends_is_trimmed():
    offsets = [(number, number + 1) for number in range(4)]
    assert decode_spans(["B-LOC", "I-LOC", "I-LOC", "B-PER"], offsets, " 京\n ") == [Span(1, 2, "LOC")]


def test_the_first_byte_decides_for_its_character():
    offsets = [(0, 1), (0, 1), (0, 1), (1, 2)]
    assert decode_spans(["B-LOC", "O", "B-PER", "I-LOC"], offsets, "京都") == [Span(0, 2, "LOC")]


def test_one_tag_a_token_is_needed():
    with pytest.raises(ValueError, match="2 tags were given for 1 token"):
        decode_spans(["O", "O"], [(0, 1)], "a")
