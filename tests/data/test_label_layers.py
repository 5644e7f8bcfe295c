"""Labels with a tag for each layer: every way that entities can lie over each other comes back from its labels."""

import random
from itertools import pairwise

import pytest

from reformer.data import Span, bio_labels, decode_spans, token_tags
from reformer.data.errors import DataError
from reformer.data.label_layers import entity_labels, layer_tags, layers_of, types_of

PICK = random.Random(3)


def _spans(length: int, count: int) -> list[Span]:
    places = {tuple(sorted(PICK.sample(range(length + 1), 2))) for _ in range(count)}
    return sorted(
        (Span(start, end, PICK.choice("XYZ")) for start, end in places), key=lambda each: (each.start, each.end)
    )


def test_no_two_spans_of_a_layer_overlap():
    for _ in range(200):
        spans = _spans(12, PICK.randrange(7))
        layers = layers_of(spans)
        assert {span for layer in layers for span in layer} == set(spans)
        for layer in layers:
            assert all(before.end <= after.start for before, after in pairwise(layer))


def test_entities_that_overlap_come_back_from_their_labels():
    for _ in range(200):
        text = "".join(PICK.choices("abcd北京", k=12))
        spans = _spans(len(text), PICK.randrange(1, 7))
        labels = entity_labels([spans])
        ids = {label: number for number, label in enumerate(labels)}
        offsets = [(place, place + 1) for place in range(len(text))]
        tags = [labels[number] for number in token_tags(spans, offsets, ids)]
        assert decode_spans(tags, offsets, text) == spans


def test_without_overlap_labels_are_those_of_one_layer():
    texts = [[Span(0, 2, "LOC"), Span(2, 3, "PER")], [], [Span(0, 1, "ORG")]]
    assert entity_labels(texts) == bio_labels(["LOC", "PER", "ORG"])
    assert entity_labels([]) == ["O"]


def test_a_type_that_lies_within_others_can_stand_alone():
    labels = entity_labels([[Span(0, 5, "ORG"), Span(1, 3, "LOC")]])
    ids = {label: number for number, label in enumerate(labels)}
    offsets = [(place, place + 1) for place in range(3)]
    tags = [labels[number] for number in token_tags([Span(0, 2, "LOC")], offsets, ids)]
    assert [layer_tags(tag) for tag in tags] == [("B-LOC", "O"), ("I-LOC", "O"), ("O", "O")]
    assert types_of(labels) == ["LOC", "ORG"]


def test_what_lies_over_another_as_nothing_in_training_did_is_left_out_of_that():
    labels = entity_labels([[Span(0, 5, "ORG"), Span(1, 3, "LOC")]])
    ids = {label: number for number, label in enumerate(labels)}
    offsets = [(place, place + 1) for place in range(5)]
    spans = [Span(0, 5, "LOC"), Span(1, 3, "ORG"), Span(1, 2, "LOC")]
    tags = [labels[number] for number in token_tags(spans, offsets, ids)]
    assert decode_spans(tags, offsets, "abcde") == [Span(0, 5, "LOC")]
    with pytest.raises(DataError, match=r"the label 'B-PER.*' was not seen in training"):
        token_tags([Span(0, 5, "ORG"), Span(1, 3, "PER")], offsets, ids, "a.jsonl:1")


def test_a_type_with_the_separator_in_its_name_is_a_type():
    labels = bio_labels(["A\x1fB"])
    assert [layer_tags(label) for label in labels] == [("O",), ("B-A\x1fB",), ("I-A\x1fB",)]


@pytest.mark.parametrize("name", ["A\x1fB", "A\x1fB-C"])
def test_no_tagger_is_made_of_a_type_that_its_labels_could_not_be_read_with(name):
    with pytest.raises(DataError, match=r"stands between the tags of layers; give the type another name"):
        entity_labels([[Span(0, 2, name), Span(0, 1, "X")]])
