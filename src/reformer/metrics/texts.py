"""How near a written text is to the one that was asked for: chrF from counts, BLEU from the texts."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

CHARACTERS = 6
"""chrF compares groups of one to so many characters."""

RECALL_WEIGHS = 2.0
"""How much more recall counts than precision."""


class CharacterMetric:
    """chrF: the F-score of character groups, averaged over their sizes, without regard to white space.

    The same as sacrebleu's `CHRF()` (chrF2 of six characters), but kept as counts that add up over batches and
    processes. Source: Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation".
    """

    def __init__(self) -> None:
        # For each size: groups written, groups asked for, groups in both. Last: texts that are right whole, all texts.
        self.counts = np.zeros(3 * CHARACTERS + 2, dtype=np.int64)

    def update(self, written: Iterable[str], asked: Iterable[str]) -> None:
        """Count texts against those that were asked for."""
        for text, wanted in zip(written, asked, strict=True):
            self.counts[-2:] += (text == wanted, 1)
            found, there = _groups(text), _groups(wanted)
            for size in range(1, CHARACTERS + 1):
                mine, theirs = found[size - 1], there[size - 1]
                row = self.counts[3 * (size - 1) : 3 * size]
                row += (mine.total(), theirs.total(), (mine & theirs).total())

    def result(self) -> dict[str, float]:
        """`chrf`, 0 to 100, `exact_match`, the part of the texts that are right to the last character, over how many
        `pairs`."""
        rates = [
            (both / written, both / asked)
            for written, asked, both in self.counts[:-2].reshape(-1, 3).tolist()
            if written and asked
        ]
        precision, recall = np.mean(rates, axis=0).tolist() if rates else (0.0, 0.0)
        weight = RECALL_WEIGHS**2
        below = weight * precision + recall
        return {
            "chrf": 100 * (1 + weight) * precision * recall / below if below else 0.0,
            "exact_match": float(self.counts[-2] / max(self.counts[-1], 1)),
            "pairs": int(self.counts[-1]),
        }


def _groups(text: str) -> list[Counter[str]]:
    """The groups of each size, and how often each occurs."""
    bare = "".join(text.split())
    return [Counter(bare[at : at + size] for at in range(len(bare) - size + 1)) for size in range(1, CHARACTERS + 1)]


def _is_chinese(letter: str) -> bool:
    return "\u3400" <= letter <= "\u9fff" or letter >= "\U00020000"


def bleu(written: Sequence[str], asked: Sequence[str]) -> float:
    """Corpus BLEU by sacrebleu, 0 to 100: words as its `13a` cuts them, or its `zh` where most of what was asked for
    is Chinese."""
    # Imported here, because whoever only labels documents needs none of it.
    from sacrebleu import corpus_bleu

    letters = [letter for text in asked for letter in text if letter.isalpha()]
    chinese = 2 * sum(map(_is_chinese, letters)) > len(letters)
    return corpus_bleu(list(written), [list(asked)], tokenize="zh" if chinese else "13a").score


def text_scores(written: Sequence[str], asked: Sequence[str]) -> dict[str, float]:
    """BLEU and everything that a `CharacterMetric` says."""
    score = CharacterMetric()
    score.update(written, asked)
    return {"bleu": bleu(written, asked), **score.result()}
