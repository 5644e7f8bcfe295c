"""Near-duplicates: those with most parts in common are found, others are not."""

import random

from reformer.insight import near_duplicates as module
from reformer.insight.near_duplicates import near_duplicates


def _words(seed, count=60):
    letters = random.Random(seed)
    return ["".join(letters.choices("abcdefghij", k=6)) for _ in range(count)]


def test_changed_copies_are_found_among_others():
    texts = [" ".join(_words(seed)) for seed in range(200)]
    for seed in range(0, 50, 5):
        words = _words(seed)
        words[30] = "changed"
        texts.append(" ".join(words))
    assert [(first, second) for first, second, _ in near_duplicates(texts)] == [
        (seed, 200 + place) for place, seed in enumerate(range(0, 50, 5))
    ]


def test_half_changed_copies_are_none():
    words = _words(1)
    assert not list(near_duplicates([" ".join(words), " ".join(words[:30] + _words(2, 30))]))


def test_blanks_case_and_width_do_not_count_and_short_texts_are_not_compared():
    assert len(list(near_duplicates(["The same Sentence here", "the same  sentence here"]))) == 1
    assert not list(near_duplicates(["好的", "好的!"]))


def test_the_bound_is_kept(monkeypatch):
    monkeypatch.setattr(module, "MOST_TEXTS", 2)
    assert not list(near_duplicates(["The same sentence", "something else", "the same sentence"]))
