"""Graphemes: what a reader sees as one character, though it may be several code points."""

from functools import lru_cache

import regex

# Properties of Unicode Standard Annex 29: between two characters without any of them, a grapheme always ends.
_JOINS = regex.compile(
    r"[\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}\p{GCB=Prepend}\p{GCB=RI}\p{GCB=L}\p{GCB=V}\p{GCB=T}]"
)


@lru_cache(maxsize=1 << 16)
def _joins(character: str) -> bool:
    return _JOINS.match(character) is not None


def widened_to_graphemes(text: str, start: int, end: int) -> tuple[int, int]:
    r"""The characters from `start` to `end`, and those around that are of the same graphemes.

    Only the characters next to both ends are looked at, so the length of the text does not matter.

    >>> widened_to_graphemes("Jose\u0301", 0, 4)
    (0, 5)
    """
    return _grapheme(text, start)[0], _grapheme(text, end)[1]


def _grapheme(text: str, place: int) -> tuple[int, int]:
    """Where the grapheme around `place` begins and ends; `place` twice if none is cut there."""
    if _certain_end(text, place):
        return place, place
    first = last = place
    while not _certain_end(text, first):
        first -= 1
    while not _certain_end(text, last):
        last += 1
    for match in regex.finditer(r"\X", text[first:last]):
        begin, end = first + match.start(), first + match.end()
        if begin < place < end:
            return begin, end
    return place, place


def _certain_end(text: str, place: int) -> bool:
    return not 0 < place < len(text) or not (_joins(text[place - 1]) or _joins(text[place]))
