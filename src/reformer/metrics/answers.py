"""Exact match and F1 of answers to questions."""

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

_UNSPACED = "[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
# A letter or digit of a script that is written without spaces.
_CHARACTER = re.compile(f"(?=[^\\W_]){_UNSPACED}")
_WIDE_PUNCTUATION = re.compile("[\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65·—…‘’“”]+")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def answer_tokens(text: str) -> list[str]:
    """The tokens of an answer that are compared: as SQuAD's own scorer cuts them, words in lower case without
    punctuation and English articles; Chinese characters one by one, without the punctuation of their script.

    >>> answer_tokens("The 2008 北京 Games!")
    ['2008', '北', '京', 'games']
    """
    plain = text.lower().translate(_PUNCTUATION)
    if _CHARACTER.search(plain):
        plain = _CHARACTER.sub(r" \g<0> ", _WIDE_PUNCTUATION.sub(" ", plain))
    return _ARTICLES.sub(" ", plain).split()


class AnswerMetric:
    """SQuAD's exact match and F1, kept as counts that add up over batches and processes.

    Of several references the nearest counts; one in which no token is, such as "the", is none. For a question without
    an answer, no answer is the right one.
    Source: Rajpurkar et al. 2016 and 2018, whose scorer (version 2.0) gives the same; for Chinese the tokens are
    characters, as Cui et al. 2019 have it.
    """

    def __init__(self) -> None:
        # Exact matches, summed F1, questions; of those without an answer: exact matches, questions.
        self.counts: Float64[np.ndarray, 5] = np.zeros(5, dtype=np.float64)

    def update(self, prediction: str | None, references: Sequence[str]) -> None:
        """Count one prediction, None for no answer, against its references, none for a question without an answer."""
        predicted = answer_tokens(prediction or "")
        accepted = [tokens for tokens in map(answer_tokens, references) if tokens] or [[]]
        exact = predicted in accepted
        f1 = max(_f1(predicted, tokens) for tokens in accepted)
        self.counts += (exact, f1, 1, exact and not references, not references)

    def result(self) -> dict[str, float]:
        """`f1` and `exact_match`, 0 to 1, over how many `questions`; where some have no answer, the part of those that
        were left without one is `no_answer_accuracy`."""
        exact, f1, questions, rejected, unanswerable = self.counts.tolist()
        values: dict[str, float] = {"f1": f1 / max(questions, 1), "exact_match": exact / max(questions, 1)}
        if unanswerable:
            values["no_answer_accuracy"] = rejected / unanswerable
        return values | {"questions": int(questions)}


def _f1(predicted: list[str], reference: list[str]) -> float:
    if not predicted or not reference:
        return float(predicted == reference)
    shared = (Counter(predicted) & Counter(reference)).total()
    return 2 * shared / (len(predicted) + len(reference))
