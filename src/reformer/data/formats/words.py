"""From words to the text that they are written as, and back."""

import re
from collections.abc import Sequence

from reformer.data.documents import Document

# Han, kana, bopomofo, their punctuation, and full-width forms: scripts that are written without spaces.
_CJK = re.compile("[\u2e80-\u312f\u31a0-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
_ASCII_WORD = re.compile("[A-Za-z0-9]")

Places = list[tuple[int, int]]


def written_out(words: Sequence[str]) -> tuple[str, list[int]]:
    """The sentence as it is written, and where each word begins in it.

    Single characters stand without spaces; so do words of a sentence with Chinese or Japanese in it, but for
    two that touch with Latin letters or digits; all other words have one space between them.
    """
    characters = all(len(word) == 1 for word in words)
    spaceless = any(_CJK.search(word) for word in words)
    pieces: list[str] = []
    starts: list[int] = []
    length = 0
    for number, word in enumerate(words):
        if number and not characters:
            touching = _ASCII_WORD.match(words[number - 1][-1]) and _ASCII_WORD.match(word[0])
            if not spaceless or touching:
                pieces.append(" ")
                length += 1
        starts.append(length)
        pieces.append(word)
        length += len(word)
    return "".join(pieces), starts


def words_and_places(document: Document) -> tuple[list[str], Places]:
    """Words that `written_out` makes the document's text of, with the characters of each: those between spaces where
    all spans begin and end with words, or else single characters."""
    places = [match.span() for match in re.finditer("[^ ]+", document.text)]
    words = [document.text[start:end] for start, end in places]
    starts, ends = {start for start, _ in places}, {end for _, end in places}
    fit = all(span.start in starts and span.end in ends for span in document.spans or ())
    # A word of these letters has a meaning of its own to readers of CoNLL.
    plain = not any(word.startswith(("#", "-DOCSTART-")) for word in words)
    if fit and plain and words and written_out(words)[0] == document.text:
        return words, places
    return list(document.text), [(place, place + 1) for place in range(len(document.text))]


def pieces(document: Document) -> Places:
    """The document's words between white space, cut where spans begin and end."""
    cuts = sorted({place for span in document.spans or () for place in (span.start, span.end)})
    found, number = [], 0
    for match in re.finditer(r"\S+", document.text):
        start, end = match.span()
        while number < len(cuts) and cuts[number] < end:
            if cuts[number] > start:
                found.append((start, cuts[number]))
                start = cuts[number]
            number += 1
        found.append((start, end))
    return found
