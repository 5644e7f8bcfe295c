"""Profile of labelled documents: the figures by which a recipe is chosen."""

import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from reformer.data import Document, Span
from reformer.data.label_layers import layers_of

# Han, kana, bopomofo, hangul, and full-width forms: a piece of a multilingual vocabulary has one or two of them.
_WIDE = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_UNIT = re.compile(rf"[{_WIDE}]|[^\W_{_WIDE}]+|[^\w\s]|_")
LETTERS_A_PIECE = 5
"""Letters of a word for which one piece is counted."""
SCRIPTS = {"HIRAGANA": "KANA", "KATAKANA": "KANA", "HALFWIDTH": "KANA", "FULLWIDTH": "LATIN", "IDEOGRAPHIC": "CJK"}
"""Scripts by the first words of characters' names where these have other names."""


@dataclass(frozen=True)
class Profile:
    """Figures of documents. Lengths are in characters; pieces are estimated by `estimate_pieces`."""

    documents: int
    characters: int
    median_length: int
    longest: int
    piece_counts: Sequence[int] = field(repr=False)
    """Of each document, the greatest first."""
    scripts: Mapping[str, float]
    """Shares of the letters by script, the greatest first."""
    letters: float
    """The share of letters among the characters that are no white space."""
    classes: Mapping[str, int]
    """Documents by class, the most frequent first; one with several labels counts for each."""
    several_labels: bool
    """Whether documents have lists of labels."""
    entities: Mapping[str, int]
    """Entities by type, the most frequent first."""
    borders_in_words: float
    """The share of entities that begin or end between two letters or digits."""
    overlapping: int
    """Documents in which entities lie over each other."""
    repeated: int
    """Documents whose text came before."""

    @property
    def pieces(self) -> int:
        """Of all documents."""
        return sum(self.piece_counts)

    @property
    def cjk(self) -> float:
        """The share of letters in scripts that are written without spaces between words."""
        return sum(self.scripts.get(name, 0.0) for name in ("CJK", "KANA"))


def profile(documents: Iterable[Document]) -> Profile:
    """The figures of documents, read once; of each, its length and the digest of its text are kept.

    >>> found = profile([Document("北京欢迎你", "a", spans=(Span(0, 2, "LOC"),)), Document("你好", "b", spans=())])
    >>> found.documents, found.characters, found.longest, dict(found.entities), found.borders_in_words
    (2, 7, 5, {'LOC': 1}, 1.0)
    """
    lengths: list[int] = []
    pieces: list[int] = []
    repeated = within = overlapping = 0
    several = False
    characters: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    entities: Counter[str] = Counter()
    seen: set[int] = set()
    for document in documents:
        lengths.append(len(document.text))
        pieces.append(estimate_pieces(document.text))
        characters.update(document.text)
        repeated += hash(document.text) in seen
        seen.add(hash(document.text))
        if document.label is not None:
            classes[document.label] += 1
        # A list of one in every record is how some tools write one class.
        several = several or (document.labels is not None and len(document.labels) != 1)
        classes.update(document.labels or ())
        overlapping += len(layers_of(document.spans or ())) > 1
        for span in document.spans or ():
            entities[span.label] += 1
            within += _begins_or_ends_in_word(document.text, span)
    scripts: Counter[str] = Counter()
    for character, count in characters.items():
        if character.isalpha():
            scripts[_script(character)] += count
    letters = scripts.total()
    visible = sum(count for character, count in characters.items() if not character.isspace())
    return Profile(
        documents=len(lengths),
        characters=sum(lengths),
        median_length=round(statistics.median(lengths)) if lengths else 0,
        longest=max(lengths, default=0),
        piece_counts=sorted(pieces, reverse=True),
        scripts={name: count / letters for name, count in scripts.most_common()},
        letters=letters / max(1, visible),
        classes=dict(classes.most_common()),
        several_labels=several,
        entities=dict(entities.most_common()),
        borders_in_words=within / max(1, entities.total()),
        overlapping=overlapping,
        repeated=repeated,
    )


def estimate_pieces(text: str) -> int:
    """How many pieces of a multilingual vocabulary a text has, at most in the rule: one for each character that is
    written without spaces, for each mark, and for every five letters of a word.

    >>> estimate_pieces("北京 is the capital.")
    7
    """
    return sum(1 + (len(unit) - 1) // LETTERS_A_PIECE for unit in _UNIT.findall(text))


def _begins_or_ends_in_word(text: str, span: Span) -> bool:
    return any(
        0 < place < len(text) and text[place - 1].isalnum() and text[place].isalnum()
        for place in (span.start, span.end)
    )


@cache
def _script(character: str) -> str:
    name = unicodedata.name(character, "OTHER").partition(" ")[0]
    return SCRIPTS.get(name, name)
