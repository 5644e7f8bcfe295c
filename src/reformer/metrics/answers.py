"""How near answers are to those that were asked for: whole, and by the tokens they share."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

ARTICLES = frozenset({"a", "an", "the"})
_UNSPACED = "[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
# A letter or digit of a script that is written without spaces, or a word of another one.
_TOKEN = re.compile(f"(?=[^\\W_]){_UNSPACED}|(?:(?!{_UNSPACED})[^\\W_])+")


def answer_tokens(text: str) -> list[str]:
    """What of an answer counts: Chinese characters one by one, other words, in lower case, without English articles,
    punctuation and white space; the text itself where nothing else is in it.

    >>> answer_tokens("The 2008 北京 Games!")
    ['2008', '北', '京', 'games']
    """
    words = [word for word in _TOKEN.findall(text.casefold()) if word not in ARTICLES]
    return words or [text] * bool(text)


class AnswerMetric:
    """SQuAD's two measures, kept as counts that add up over batches and processes.

    Of several answers that were asked for, the nearest counts. A question without an answer is answered right by none.
    Source: Rajpurkar et al. 2016 and 2018; for Chinese the tokens are characters, as Cui et al. 2019 have it.
    """

    def __init__(self) -> None:
        # Right whole, summed F1, all; of those without an answer: right, all.
        self.counts = np.zeros(5, dtype=np.float64)

    def update(self, found: str | None, asked: Sequence[str]) -> None:
        """Count one answer, None for none, against those that were asked for, of which there may be none."""
        mine = answer_tokens(found or "")
        each = [(mine == theirs, _overlap(mine, theirs)) for theirs in map(answer_tokens, asked or [""])]
        exact, shared = max(right for right, _ in each), max(f1 for _, f1 in each)
        self.counts += (exact, shared, 1, exact and not asked, not asked)

    def result(self) -> dict[str, float]:
        """`f1` and `exact_match`, 0 to 1, over how many `questions`; where some have no answer, the part of those that
        were left without one is `no_answer_accuracy`."""
        exact, shared, questions, right, unanswerable = self.counts.tolist()
        found = {"f1": shared / max(questions, 1), "exact_match": exact / max(questions, 1)}
        if unanswerable:
            found["no_answer_accuracy"] = right / unanswerable
        return found | {"questions": int(questions)}


def _overlap(mine: list[str], theirs: list[str]) -> float:
    if not mine or not theirs:
        return float(mine == theirs)
    both = (Counter(mine) & Counter(theirs)).total()
    return 2 * both / (len(mine) + len(theirs))
