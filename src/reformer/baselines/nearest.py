"""Nearest training example: the classical way to write about what is like something that was written about."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from reformer.baselines.ngram_classifier import code_points, ngram_counts, scaled

ROWS_AT_A_TIME = 256
MAX_CHARACTERS = 2_000_000
"""Of the training texts that are compared with."""


@dataclass(frozen=True)
class NearestText:
    """The most similar of the training texts, by the cosine of the tf-idf of 1 to 3 characters."""

    sizes: tuple[int, ...]
    frequencies: Float[ndarray, " rows"]
    values: Any
    compared_with: int
    """The number of training texts, the first ones."""

    @classmethod
    def fit(cls, texts: Sequence[str], sizes: Sequence[int] = (1, 2, 3), rows: int = 1 << 20) -> "NearestText":
        """Keep the texts to compare with; of very many, the first ones."""
        lengths = np.cumsum([len(text) for text in texts])
        most = max(1, int(np.searchsorted(lengths, MAX_CHARACTERS, side="right")))
        counts = ngram_counts([code_points(text) for text in texts[:most]], sizes, rows)
        documents = np.bincount(counts.indices, minlength=rows)
        frequencies = np.log((1 + counts.shape[0]) / (1 + documents)) + 1
        return cls(tuple(sizes), frequencies, scaled(counts, frequencies).T.tocsr(), counts.shape[0])

    def nearest(self, texts: Sequence[str]) -> Iterator[int]:
        """For each text the number of the training text that is most like it."""
        for begin in range(0, len(texts), ROWS_AT_A_TIME):
            portion = [code_points(text) for text in texts[begin : begin + ROWS_AT_A_TIME]]
            values = scaled(ngram_counts(portion, self.sizes, len(self.frequencies)), self.frequencies)
            yield from np.asarray((values @ self.values).argmax(1)).ravel().tolist()


def nearest_images(
    images: Float[ndarray, "images pixels"], others: Float[ndarray, "others pixels"]
) -> Int[ndarray, " others"]:
    """For each of the other images the number of the image whose pixels are nearest."""
    norms = (images**2).sum(1)
    parts = [others[begin : begin + ROWS_AT_A_TIME] for begin in range(0, len(others), ROWS_AT_A_TIME)]
    return np.concatenate([(norms - 2 * part @ images.T).argmin(1) for part in parts])
