"""The figures of documents."""

import pytest

from reformer.advice.profile import estimate_pieces, profile
from reformer.data import Document, Span


def test_figures_of_classified_texts():
    found = profile(
        [Document("Gute Ware!", "a", label="pos"), Document("坏", "b", label="neg"), Document("坏", "c", "neg")]
    )
    assert (found.documents, found.characters, found.median_length, found.longest) == (3, 12, 1, 10)
    assert found.scripts == {"LATIN": 0.8, "CJK": 0.2}
    assert found.cjk == pytest.approx(0.2)
    assert found.letters == pytest.approx(10 / 11)
    assert list(found.classes.items()) == [("neg", 2), ("pos", 1)]
    assert found.repeated == 1
    assert not found.entities


def test_entities_within_words_and_at_their_borders():
    def share(text: str, *places: tuple[int, int]) -> float:
        return profile([Document(text, "a", spans=tuple(Span(*place, "X") for place in places))]).borders_in_words

    assert share("in Berlin, am Rhein", (3, 9), (14, 19)) == 0
    assert share("in Berlin, am Rhein", (3, 9), (14, 18)) == 0.5
    assert share("我在北京市", (2, 4)) == 1
    assert share("北京", (0, 2)) == 0


def test_no_document_has_no_figures():
    found = profile([])
    assert (found.documents, found.characters, found.longest, found.pieces, found.letters) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", 0),
        ("北京", 2),
        ("a", 1),
        ("words words", 2),
        ("unterschiedlich", 3),
        ("Ja, nein!", 4),
        ("カナ", 2),
        ("12345 678901", 3),
    ],
)
def test_pieces_are_estimated(text, pieces):
    assert estimate_pieces(text) == pieces


def test_scripts_of_one_kind_are_one():
    assert profile([Document("カナかなｱ", "a")]).scripts == {"KANA": 1.0}
    assert profile([Document("Привет", "a")]).scripts == {"CYRILLIC": 1.0}
