"""Words of scripts that are written apart."""

import pytest

from reformer.data import Span
from reformer.data.words import spans_within_words, word_numbers, word_starts


def _words(text):
    numbers = word_numbers(text).tolist()
    return [
        "".join(character for character, own in zip(text, numbers, strict=True) if own == number)
        for number in sorted(set(numbers) - {-1})
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Zürich's lake", ["Zürich", "s", "lake"]),
        ("去Zürich的2024年", ["Zürich", "2024"]),
        ("Zu\u0308rich", ["Zu\u0308rich"]),
        ("Jean-Luc, O'Brien", ["Jean", "Luc", "O", "Brien"]),
        ("Москва и Αθήνα", ["Москва", "и", "Αθήνα"]),
        ("القاهرة", ["القاهرة"]),
        ("ירושלים", ["ירושלים"]),
        ("東京タワーとひらがな", []),
        ("กรุงเทพ", []),
        ("서울에서", []),
        ("😀👍🏽", []),
        ("", []),
    ],
)
def test_words_are_those_of_scripts_that_are_written_apart(text, words):
    assert _words(text) == words


def test_tokens_of_one_word_are_one_group():
    text = "去Zürich's"
    pieces = [(0, 0), (0, 1), (1, 3), (3, 7), (7, 8), (8, 9), (9, 9)]
    assert word_starts(pieces, text).tolist() == [0, 1, 2, 4, 5, 6]
    characters = [(place, place + 1) for place in range(len(text))]
    assert word_starts(characters, text).tolist() == [0, 1, 7, 8]


def test_a_piece_with_a_space_before_its_word_is_of_that_word():
    assert word_starts([(0, 3), (3, 4), (4, 7)], "in Bern").tolist() == [0, 1]
    assert word_starts([(0, 2), (2, 5), (5, 7)], "in Bern").tolist() == [0, 1]


def test_bytes_of_a_character_outside_of_words_stay_apart():
    assert word_starts([(0, 1), (0, 1), (1, 2), (1, 2)], "北ü").tolist() == [0, 1, 2]


def test_spans_that_cut_words_are_counted():
    text = "Berlinreise, Bern 北京市"
    spans = [Span(0, 6, "LOC"), Span(0, 11, "X"), Span(13, 17, "LOC"), Span(14, 17, "LOC"), Span(18, 20, "LOC")]
    assert spans_within_words(spans, text) == 2
