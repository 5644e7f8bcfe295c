"""Baselines of question answering: no answer at all, and the sentence that has most of the question."""

import re
from collections.abc import Callable, Sequence

from reformer.data import Question
from reformer.metrics.answers import AnswerMetric, answer_tokens
from reformer.tasks.base import Baseline

# A full stop ends a sentence where white space follows it: 3.5 is a number.
_END = re.compile(r"[。！？!?\n]+|\.\s+")

Answerer = Callable[[Question], str | None]


def measure_baseline(validation: Sequence[Question], test: Sequence[Question]) -> Baseline:
    """The one of the two with the better F1 on the validation part."""
    methods: dict[str, Answerer] = {
        "the sentence with most of the question's words": likest_sentence,
        "no answer": lambda question: None,
    }
    found = {name: _scores(answer, validation) for name, answer in methods.items()}
    best = max(found, key=lambda name: found[name]["f1"])
    others = ", ".join(f"{name} {scores['f1']:.4f}" for name, scores in found.items() if name != best)
    tested = _scores(methods[best], test) if test else None
    return Baseline(method=best, validation=found[best], test=tested, note=f"f1 of {others}")


def likest_sentence(question: Question) -> str | None:
    """The sentence of the document that has the most of the question's words, or Chinese characters, in it; the
    shorter one of two. (The overlap of Rajpurkar et al. 2016, section 5.1, without candidates for the answer.)"""
    asked = set(answer_tokens(question.text))
    sentences = [sentence.strip() for sentence in _END.split(question.document) if sentence.strip()]
    return max(sentences, key=lambda text: (len(asked & set(answer_tokens(text))), -len(text)), default=None)


def _scores(answer: Answerer, questions: Sequence[Question]) -> dict[str, int | float]:
    metric = AnswerMetric()
    for question in questions:
        metric.update(answer(question), question.answer_texts)
    return dict(metric.result())
