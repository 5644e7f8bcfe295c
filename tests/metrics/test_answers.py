"""Exact match and F1 as SQuAD counts them."""

import pytest

from reformer.metrics.answers import AnswerMetric, answer_tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("The 2008 北京 Games!", ["2008", "北", "京", "games"]), ("the", ["the"]), ("", []), ("!?", ["!?"])],
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
