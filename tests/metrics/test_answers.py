"""Exact match and F1 as SQuAD counts them."""

import collections
import random
import re
import string

import pytest

from reformer.metrics.answers import AnswerMetric, answer_tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The 2008 北京 Games!", ["2008", "北", "京", "games"]),
        ("the", []),
        ("", []),
        ("!?", []),
        ("北京。“市”", ["北", "京", "市"]),
    ],
)
def test_the_tokens_that_are_compared(text, tokens):
    assert answer_tokens(text) == tokens


def test_the_nearest_reference_counts():
    metric = AnswerMetric()
    metric.update("the red cat", ["a dog", "red cat"])
    metric.update("red cat sat", ["red cat", "blue"])
    assert metric.result() == {"f1": pytest.approx((1 + 4 / 5) / 2), "exact_match": 0.5, "questions": 2}


def test_a_question_without_an_answer_is_answered_right_by_none():
    metric = AnswerMetric()
    metric.update(None, [])
    metric.update("北京", [])
    metric.update(None, ["北京"])
    assert metric.result() == {
        "f1": pytest.approx(1 / 3),
        "exact_match": pytest.approx(1 / 3),
        "no_answer_accuracy": 0.5,
        "questions": 3,
    }


def test_counts_add_up():
    whole, parts = AnswerMetric(), [AnswerMetric(), AnswerMetric()]
    for number, (prediction, references) in enumerate((("a b", ["b"]), (None, []), ("上海", ["上海市"]))):
        whole.update(prediction, references)
        parts[number % 2].update(prediction, references)
    parts[0].counts += parts[1].counts
    assert parts[0].result() == whole.result()


def _normalised(text: str) -> str:
    """As SQuAD's scorer is published: lower case, no punctuation, no articles, single blanks."""
    kept = "".join(letter for letter in text.lower() if letter not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", kept).split())


def _official(prediction: str, references: list[str]) -> tuple[int, float]:
    """Exact match and F1 of one question, as version 2.0 of the scorer defines them."""
    known = [text for text in references if _normalised(text)] or [""]
    exact = max(int(_normalised(prediction) == _normalised(text)) for text in known)
    scores = []
    for text in known:
        found, true = _normalised(prediction).split(), _normalised(text).split()
        common = sum((collections.Counter(found) & collections.Counter(true)).values())
        if not found or not true:
            scores.append(float(found == true))
        elif not common:
            scores.append(0.0)
        else:
            precision, recall = common / len(found), common / len(true)
            scores.append(2 * precision * recall / (precision + recall))
    return exact, max(scores)


def test_a_thousand_answers_score_as_squads_own_scorer_does():
    pick = random.Random(0)
    words = [
        "the",
        "a",
        "An",
        "state-of-the-art",
        "3.5",
        "Zürich",
        "café",
        "it's",
        "U.S.",
        "—",
        "“quoted”",
        "!?",
        "x_y",
    ]

    def text() -> str:
        return pick.choice((" ", "  ", "\t")).join(pick.choices(words, k=pick.randint(1, 4)))

    for _ in range(1000):
        references = [text() for _ in range(pick.randint(0, 3))]
        prediction = pick.choice([*references, text(), ""])
        metric = AnswerMetric()
        metric.update(prediction or None, references)
        exact, f1 = _official(prediction, references)
        assert metric.result()["exact_match"] == exact
        assert metric.result()["f1"] == pytest.approx(f1, abs=1e-12)
