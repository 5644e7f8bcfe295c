"""Words of scripts in which words are written apart, and the tokens that are of one word."""

from collections.abc import Iterable, Sequence

import numpy as np
import regex
from jaxtyping import Int

from reformer.data.documents import Span

# Letters and digits by their property in Unicode Standard Annex 29: characters of Chinese, Japanese, Thai and other
# scripts without spaces are none. In Korean, particles are written to the end of a name.
_LETTER = r"(?!\p{Script=Hangul})[\p{WB=ALetter}\p{WB=Hebrew_Letter}\p{WB=Numeric}]"
_WORD = regex.compile(rf"(?:{_LETTER}[\p{{WB=Extend}}\p{{WB=Format}}\p{{WB=ZWJ}}]*)+")


def word_numbers(text: str) -> Int[np.ndarray, " characters"]:
    """The number of the word that each character is in; -1 for one that is in none.

    A word is a run of letters and digits of a script whose words are written apart, so hyphens and apostrophes part
    words.

    >>> word_numbers("去Zürich's").tolist()
    [-1, 0, 0, 0, 0, 0, 0, -1, 1]
    """
    numbers = np.full(len(text), -1, dtype=np.int64)
    for number, match in enumerate(_WORD.finditer(text)):
        numbers[match.start() : match.end()] = number
    return numbers


def word_starts(offsets: Sequence[tuple[int, int]], text: str) -> Int[np.ndarray, " units"]:
    """The tokens that do not go on with the word of the token before them: the first of each word, and all others.

    Args:
        offsets: the characters of each token, in order.

    >>> word_starts([(0, 1), (1, 3), (3, 7), (7, 8)], "去Zürich了").tolist()
    [0, 1, 3]
    """
    numbers = word_numbers(text)
    found: list[int] = []
    reached = -1
    for token, (start, end) in enumerate(offsets):
        inside = numbers[start:end]
        inside = inside[inside >= 0]
        if not len(inside) or inside[0] != reached:
            found.append(token)
        reached = int(inside[-1]) if len(inside) else -1
    return np.array(found, dtype=np.int64)


def spans_within_words(spans: Iterable[Span], text: str) -> int:
    """How many spans begin or end within a word."""
    numbers = word_numbers(text)

    def cuts(place: int) -> bool:
        return 0 < place < len(text) and numbers[place] >= 0 and numbers[place - 1] == numbers[place]

    return sum(cuts(span.start) or cuts(span.end) for span in spans)
