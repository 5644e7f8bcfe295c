"""chrF from counts, and BLEU from whole texts."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int64

MAX_ORDER = 6
"""The largest order of chrF's character n-grams."""

RECALL_WEIGHT = 2.0
"""The beta of chrF's F-score: how much more recall counts than precision."""


class CharacterMetric:
    """chrF: the F-score of character n-grams, averaged over their orders, without regard to white space.

    The same as sacrebleu's `CHRF()` (chrF2 of six characters), but kept as counts that add up over batches and
    processes. Source: Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation".
    """

    def __init__(self) -> None:
        # For each order: predicted n-grams, the references', those in both. Last: exact matches, pairs.
        self.counts: Int64[np.ndarray, " 3*orders+2"] = np.zeros(3 * MAX_ORDER + 2, dtype=np.int64)

    def update(self, predictions: Iterable[str], references: Iterable[str]) -> None:
        """Count predicted texts against their references."""
        for prediction, reference in zip(predictions, references, strict=True):
            self.counts[-2:] += (prediction == reference, 1)
            pairs = zip(_ngrams(prediction), _ngrams(reference), strict=True)
            for row, (predicted, true) in zip(self.counts[:-2].reshape(-1, 3), pairs, strict=True):
                # As in sacrebleu, what is predicted counts in the orders alone that the reference is long enough for.
                row += (predicted.total() if true else 0, true.total(), (predicted & true).total())

    def result(self) -> dict[str, float]:
        """`chrf`, 0 to 100, `exact_match`, the fraction of texts equal to their reference, over how many
        `pairs`."""
        rates = [
            (both / predicted, both / true)
            for predicted, true, both in self.counts[:-2].reshape(-1, 3).tolist()
            if predicted and true
        ]
        precision, recall = np.mean(rates, axis=0).tolist() if rates else (0.0, 0.0)
        weight = RECALL_WEIGHT**2
        below = weight * precision + recall
        return {
            "chrf": 100 * (1 + weight) * precision * recall / below if below else 0.0,
            "exact_match": float(self.counts[-2] / max(self.counts[-1], 1)),
            "pairs": int(self.counts[-1]),
        }


def _ngrams(text: str) -> list[Counter[str]]:
    """The character n-grams of each order, and how often each occurs."""
    bare = "".join(text.split())
    return [Counter(bare[at : at + order] for at in range(len(bare) - order + 1)) for order in range(1, MAX_ORDER + 1)]


def _is_chinese(letter: str) -> bool:
    return "\u3400" <= letter <= "\u9fff" or letter >= "\U00020000"


def bleu(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU by sacrebleu, 0 to 100: words as its `13a` cuts them, or its `zh` where most letters of the
    references are Chinese."""
    # Imported here, because whoever only labels documents needs none of it.
    from sacrebleu import corpus_bleu

    letters = [letter for text in references for letter in text if letter.isalpha()]
    chinese = 2 * sum(map(_is_chinese, letters)) > len(letters)
    return corpus_bleu(list(predictions), [list(references)], tokenize="zh" if chinese else "13a").score


def text_scores(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """BLEU and the values of `CharacterMetric`."""
    metric = CharacterMetric()
    metric.update(predictions, references)
    return {"bleu": bleu(predictions, references), **metric.result()}
