"""Counted scores equal those of seqeval and scikit-learn over everything at once."""

import numpy as np
import pytest
from seqeval.metrics import classification_report, f1_score
from seqeval.metrics.v1 import precision_recall_fscore_support
from seqeval.scheme import IOB2, Entities
from sklearn.metrics import accuracy_score
from sklearn.metrics import f1_score as macro_f1_score

from reformer.data import Span, bio_labels
from reformer.metrics.classification import ClassMetric, EntityMetric
from reformer.metrics.doubts import doubts

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
        assert result[f"class/{name}_f1"] == pytest.approx(report[name]["f1-score"], abs=1e-12)


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
    assert score.result()["class/LOC_f1"] == 1.0


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
    assert "class/never seen_f1" not in result


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
    assert score.standstill == "validation has 1 entity; every tag is O"
    score.update(np.array([[1, 0]]), np.array([[0, 0]]))
    assert score.standstill == "validation has 1 entity; none of the 1 that were predicted is right"
    score.update(np.array([[1, 0]]), np.array([[1, 0]]))
    assert score.standstill is None


@pytest.mark.parametrize("name", ["macro", "accuracy", "loss", "class/a", "f1"])
def test_no_class_has_the_name_of_a_metric(name):
    score = ClassMetric(["micro", name])
    score.update(np.array([0, 0, 1, 1, 1]), np.array([0, 0, 0, 1, 1]))
    result = score.result()
    assert result["accuracy"] == 0.8
    assert result["macro_f1"] == pytest.approx((0.8 + 0.8) / 2)
    assert result[f"class/{name}_f1"] == pytest.approx(0.8)
    entities = EntityMetric(bio_labels([name]))
    entities.update_spans([Span(0, 1, name)], [Span(0, 1, name), Span(2, 3, name)])
    assert list(entities.result()) == ["precision", "recall", "f1", f"class/{name}_f1"]


def test_a_class_that_the_model_does_not_know_is_missed_and_named():
    score = ClassMetric(["a", "b"])
    for prediction, label in (("a", "a"), ("b", "b"), ("b", "z")):
        score.update_named(prediction, label)
    true, predicted = ["a", "b", "z"], ["a", "b", "b"]
    result = score.result()
    assert result["macro_f1"] == pytest.approx(macro_f1_score(true, predicted, average="macro", zero_division=0))
    assert result["accuracy"] == pytest.approx(2 / 3)
    assert result["unknown/z"] == 1
    assert "'z', which is right 1 times and counts as missed" in next(doubts(result))


@pytest.mark.parametrize(("types", "recall"), [(None, 1 / 3), (["LOC"], 1.0)])
def test_an_entity_of_a_type_that_the_model_does_not_know_is_missed_and_named(types, recall):
    score = EntityMetric(LABELS, types)
    score.update_spans([Span(0, 2, "LOC")], [Span(0, 2, "LOC"), Span(3, 5, "PLANET"), Span(6, 9, "PLANET")])
    result = score.result()
    assert (result["precision"], result["recall"]) == (1.0, pytest.approx(recall))
    # Where types are chosen, the others do not count, whether the model knows them or not.
    assert result.get("unknown/PLANET") == (2 if types is None else None)


def test_types_that_neither_side_has_are_left_out():
    score = EntityMetric(LABELS)
    score.update_spans([Span(0, 2, "LOC")], [Span(0, 2, "LOC")])
    assert "class/ORG_f1" not in score.result()


def test_a_thousand_documents_score_as_seqeval_does_document_by_document():
    generator = np.random.default_rng(2)
    for _ in range(1000):
        labels = bio_labels([f"T{number}" for number in range(generator.integers(1, 5))])
        true = generator.integers(len(labels), size=generator.integers(1, 20))
        predicted = np.where(generator.random(len(true)) < 0.7, true, generator.integers(len(labels), size=len(true)))
        rows = [[labels[tag] for tag in tags] for tags in (true, predicted)]
        of_tags, of_spans = EntityMetric(labels), EntityMetric(labels)
        of_tags.update(predicted[None], true[None])
        spans = [[Span(e.start, e.end, e.tag) for e in Entities([row], IOB2).entities[0]] for row in rows]
        of_spans.update_spans(spans[1], spans[0])
        expected = precision_recall_fscore_support(rows[:1], rows[1:], scheme=IOB2, average="micro", zero_division=0)
        for score in (of_tags, of_spans):
            result = score.result()
            assert [result[name] for name in ("precision", "recall", "f1")] == pytest.approx(expected[:3], abs=1e-12)


def test_a_thousand_classifications_score_as_scikit_learn_does():
    generator = np.random.default_rng(3)
    for _ in range(1000):
        names = [f"c{number}" for number in range(generator.integers(2, 6))]
        true, predicted = generator.integers(len(names), size=(2, generator.integers(1, 12)))
        score = ClassMetric(names)
        score.update(predicted, true)
        result = score.result()
        assert result["accuracy"] == pytest.approx(np.mean(true == predicted), abs=1e-12)
        expected = macro_f1_score(true, predicted, average="macro", zero_division=0)
        assert result["macro_f1"] == pytest.approx(expected, abs=1e-12)
