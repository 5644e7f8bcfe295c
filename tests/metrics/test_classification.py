"""Counted scores equal those of seqeval and scikit-learn over everything at once."""

import numpy as np
import pytest
from seqeval.metrics import classification_report, f1_score
from seqeval.scheme import IOB2
from sklearn.metrics import accuracy_score
from sklearn.metrics import f1_score as macro_f1_score

from reformer.data import Span, bio_labels
from reformer.metrics.classification import ClassMetric, EntityMetric

LABELS = bio_labels(["LOC", "ORG", "PER"])


def test_strict_entities_agree_with_seqeval_batch_by_batch():
    generator = np.random.default_rng(0)
    score = EntityMetric(LABELS)
    true_rows, predicted_rows = [], []
    for _ in range(30):
        true = generator.integers(len(LABELS), size=(4, 25))
        # Half right, and every kind of broken tag sequence: I- first, I- of another type, B- after B-.
        predicted = np.where(generator.random(true.shape) < 0.6, true, generator.integers(len(LABELS), size=(4, 25)))
        lengths = generator.integers(1, 26, size=4)
        padded = np.where(np.arange(25) < lengths[:, None], true, -100)
        score.update(predicted, padded)
        for row, length in enumerate(lengths):
            true_rows.append([LABELS[tag] for tag in true[row, :length]])
            predicted_rows.append([LABELS[tag] for tag in predicted[row, :length]])
    report = classification_report(true_rows, predicted_rows, mode="strict", scheme=IOB2, output_dict=True)
    result = score.result()
    assert result["f1"] == pytest.approx(f1_score(true_rows, predicted_rows, mode="strict", scheme=IOB2), abs=1e-12)
    for name in ("precision", "recall"):
        assert result[name] == pytest.approx(report["micro avg"][name], abs=1e-12)
    for name in ("LOC", "ORG", "PER"):
        assert result[f"{name}_f1"] == pytest.approx(report[name]["f1-score"], abs=1e-12)


def test_an_entity_does_not_go_on_into_the_next_row():
    score = EntityMetric(LABELS)
    begin, inside = LABELS.index("B-LOC"), LABELS.index("I-LOC")
    score.update(np.array([[0, begin], [inside, 0]]), np.array([[0, begin], [0, 0]]))
    assert score.result()["f1"] == 1.0


def test_spans_are_right_only_with_both_ends_and_type():
    score = EntityMetric(LABELS)
    true = [Span(0, 2, "LOC"), Span(3, 5, "PER"), Span(6, 9, "ORG")]
    score.update_spans([Span(0, 2, "LOC"), Span(3, 4, "PER"), Span(6, 9, "PER")], true)
    assert score.counts.sum(axis=0).tolist() == [1, 3, 3]
    assert score.result()["LOC_f1"] == 1.0


def test_no_entity_at_all_scores_zero_without_dividing_by_it():
    score = EntityMetric(LABELS)
    score.update(np.zeros((1, 3), dtype=int), np.zeros((1, 3), dtype=int))
    assert score.result()["f1"] == 0.0


def test_classes_agree_with_scikit_learn():
    generator = np.random.default_rng(1)
    labels = ["a", "b", "c", "never seen"]
    true, predicted = generator.integers(3, size=200), generator.integers(3, size=200)
    score = ClassMetric(labels)
    for part in np.array_split(np.arange(200), 7):
        score.update(predicted[part], true[part])
    result = score.result()
    assert result["accuracy"] == pytest.approx(accuracy_score(true, predicted), abs=1e-12)
    assert result["macro_f1"] == pytest.approx(macro_f1_score(true, predicted, average="macro"), abs=1e-12)
    assert "never seen_f1" not in result


def test_one_answer_for_several_classes_is_constant():
    score = ClassMetric(["a", "b", "c"])
    score.update(np.array([1, 1, 1]), np.array([1, 1, 1]))
    assert score.standstill is None
    score.update(np.array([1]), np.array([0]))
    assert score.standstill is not None
    score.update(np.array([0]), np.array([1]))
    assert score.standstill is None


def test_no_entity_where_there_are_some_is_constant():
    score = EntityMetric(LABELS)
    assert score.standstill is None
    score.update(np.array([[0, 0]]), np.array([[1, 2]]))
    assert score.standstill is not None
    assert score.standstill == "validation has 1 entities; every tag is O"
    score.update(np.array([[1, 0]]), np.array([[0, 0]]))
    assert score.standstill == "validation has 1 entities; none of the 1 that were predicted is right"
    score.update(np.array([[1, 0]]), np.array([[1, 0]]))
    assert score.standstill is None
