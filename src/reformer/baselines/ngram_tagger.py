"""Linear-chain conditional random field over n-grams around each token: the classical labeller of texts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int
from numpy import ndarray

from reformer.errors import ReformerError
from reformer.nn.ngrams import group_rows, groups_around

PENALTY = 0.1
"""Of both the sum of the weights and the sum of their squares."""
MAX_ITERATIONS, MIN_ITERATIONS = 100, 60
"""Of L-BFGS; with fewer it is far from its end, and a perceptron, which learns from every sequence, is better."""
PASSES = 10
"""Of the averaged perceptron."""
PIECE = 100
"""Tokens that a perceptron changes its weights after, at most: after a whole page it would change them too seldom."""
SECONDS_TO_READ, SECONDS_TO_WEIGH = 25e-6, 18e-9
"""On one core of 2023, of a token before the first iteration, and of each of its groups and pairs of tags in one."""
ROWS = (1 << 31) - 1
"""As many as the hash can tell apart: two groups of a text hardly ever share one."""

Sequences = Sequence[Int[ndarray, " _"]]


class MissingPackageError(ReformerError):
    """A package that the method needs is not installed; the message says how to install it."""


@dataclass(frozen=True)
class NgramTagger:
    """Tagger by groups of tokens around each token, hashed to rows, and by the tags of neighbours.

    Lafferty, McCallum and Pereira 2001, as crfsuite fits it: by L-BFGS with both penalties (OWL-QN), or where there is
    too much text for that by an averaged perceptron (Collins 2002).
    """

    sizes: tuple[int, ...]
    rows: int
    model: bytes
    """As crfsuite has written it."""
    method: str
    """How it was fitted, and for how long."""
    learned_from: int
    """The number of training sequences that were read."""

    @classmethod
    def fit(
        cls,
        sequences: Sequences,
        tags: Sequences,
        *,
        num_tags: int,
        sizes: Sequence[int] = (1, 2, 3),
        rows: int = ROWS,
        minutes: float = 1.0,
    ) -> "NgramTagger":
        """Fit it in about so many minutes: with fewer iterations on much text, by a perceptron on more, and to evenly
        spread sequences of very much. The choice depends on the text alone, not on the clock.

        Args:
            sequences: token ids, or code points.
            tags: the tag of each token, from 0 to `num_tags - 1`; below 0 for a token that has none and is left out.
            sizes: how many tokens the groups have.
            rows: how many rows they are hashed to.
            minutes: of one core that is free.

        Raises:
            MissingPackageError: python-crfsuite is not installed.
        """
        groups = groups_around(sizes)
        weighing = SECONDS_TO_WEIGH * (len(groups) + num_tags**2 + 20)
        seconds = 60 * minutes / max(1, sum(map(len, sequences)))
        iterations = min(MAX_ITERATIONS, int((seconds - SECONDS_TO_READ) / weighing))
        trainer = _crfsuite().Trainer(verbose=False)
        if iterations >= MIN_ITERATIONS:
            chosen, method = range(len(sequences)), f"L-BFGS of {iterations} iterations"
            trainer.select("lbfgs")
            trainer.set_params({"c1": PENALTY, "c2": PENALTY, "max_iterations": iterations})
            piece_length = max(map(len, sequences), default=1) or 1
        else:
            most = int(len(sequences) * min(1.0, seconds / (SECONDS_TO_READ + PASSES * weighing)))
            chosen = np.unique(np.linspace(0, len(sequences) - 1, max(1, most)).round().astype(np.int64)).tolist()
            method = f"averaged perceptron of {PASSES} passes"
            trainer.select("ap")
            trainer.set_params({"max_iterations": PASSES})
            piece_length = PIECE
        trainer.set_params({"feature.possible_transitions": True})
        for number in chosen:
            kept = np.flatnonzero(tags[number] >= 0)
            # The groups of a token reach over the borders of pieces.
            found = _names(sequences[number], groups, rows)
            for piece in np.split(kept, range(piece_length, len(kept), piece_length)) if len(kept) else ():
                trainer.append([found[place] for place in piece], list(map(str, tags[number][piece].tolist())))
        with TemporaryDirectory() as folder:
            file = Path(folder) / "model"
            trainer.train(str(file))
            return cls(tuple(sizes), rows, file.read_bytes(), method, len(chosen))

    def tags(self, sequences: Sequences) -> Iterator[Int[ndarray, " length"]]:
        """The tags of each sequence that are the most likely together."""
        tagger, groups = self._tagger(), groups_around(self.sizes)
        for sequence in sequences:
            found = tagger.tag(_names(sequence, groups, self.rows)) if len(sequence) else []
            yield np.array(found, dtype=np.int64)

    def weights(self, num_tags: int) -> tuple[Float32[ndarray, "rows tags"], Float32[ndarray, "tags tags"]]:
        """The weight of each row for each tag, and of each tag after each other."""
        table, transitions = np.zeros((self.rows, num_tags), np.float32), np.zeros((num_tags, num_tags), np.float32)
        found = self._tagger().info()
        for (row, tag), weight in found.state_features.items():
            table[int(row), int(tag)] = weight
        for (before, after), weight in found.transitions.items():
            transitions[int(before), int(after)] = weight
        return table, transitions

    def _tagger(self) -> Any:
        tagger = _crfsuite().Tagger()
        tagger.open_inmemory(self.model)
        return tagger


def _names(sequence: Int[ndarray, " length"], groups: Sequence[Sequence[int]], rows: int) -> list[list[str]]:
    """The rows of each token's groups, as crfsuite names what it sees."""
    found = group_rows(torch.from_numpy(sequence.astype(np.int64))[None] + 1, groups, rows)[0]
    different, places = np.unique(found.numpy(), return_inverse=True)
    names = np.array(list(map(str, different.tolist())), dtype=object)
    return names[places.reshape(found.shape)].tolist()


def _crfsuite() -> Any:
    try:
        import pycrfsuite
    except ImportError as error:
        raise MissingPackageError(
            f"a conditional random field needs python-crfsuite, which is not installed ({error}); "
            "pip install python-crfsuite"
        ) from None
    return pycrfsuite
