"""Near-duplicates: texts that have most of their parts in common, found by MinHash."""

import unicodedata
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

MOST_TEXTS, MOST_CHARACTERS = 20_000, 5_000
"""Texts that are compared, the first of all, and characters of each, at most."""
SHINGLE = 5
"""Characters of a part."""
MIN_CHARACTERS = 10
"""Characters of a text, at least: shorter ones are alike by chance."""
SIMILARITY = 0.8
"""The share of the parts of two texts together that both have, at least."""
BANDS, ROWS = 16, 4
_PRIME = (1 << 61) - 1


def near_duplicates(texts: Sequence[str]) -> Iterator[tuple[int, int, float]]:
    """Pairs of texts that are nearly the same but not the same, the earlier first, with their Jaccard similarity.

    Case, white space and compatibility forms do not count. Two texts whose similarity is .8 are found with a
    probability of .9998, and a text is paired once. At most `MOST_TEXTS` texts are compared.

    >>> list(near_duplicates(["The hotel was very nice and quiet.", "Bad food.", "The hotel was very nice and quiet!"]))
    [(0, 2, 0.9285714285714286)]
    """
    random = np.random.default_rng(0)
    factors, offsets = random.integers(1, 1 << 31, (2, BANDS * ROWS), dtype=np.uint64)
    first: dict[tuple[int, bytes], int] = {}
    parts: dict[int, set[int]] = {}
    for number, text in enumerate(texts[:MOST_TEXTS]):
        shingles = _shingles(text)
        if not shingles:
            continue
        signature = _signature(np.fromiter(shingles, dtype=np.uint64), factors, offsets)
        keys = [(band, signature[band * ROWS : (band + 1) * ROWS].tobytes()) for band in range(BANDS)]
        parts[number] = shingles
        for other in sorted({first[key] for key in keys if key in first}):
            similarity = len(shingles & parts[other]) / len(shingles | parts[other])
            if similarity >= SIMILARITY and text != texts[other]:
                yield other, number, similarity
                break
        for key in keys:
            first.setdefault(key, number)


def _shingles(text: str) -> set[int]:
    text = "".join(unicodedata.normalize("NFKC", text[:MOST_CHARACTERS]).casefold().split())
    if len(text) < MIN_CHARACTERS:
        return set()
    data = [text[start : start + SHINGLE].encode("utf-8", "surrogatepass") for start in range(len(text) - SHINGLE + 1)]
    return set(map(zlib.crc32, data))


def _signature(
    shingles: NDArray[np.uint64], factors: NDArray[np.uint64], offsets: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    # A hash of 32 bits times a factor of 31 is no more than 64 bits have.
    return ((shingles[:, None] * factors + offsets) % np.uint64(_PRIME)).min(axis=0)
